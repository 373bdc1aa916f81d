package importer

import (
	"regexp"
	"slices"
	"strings"
)

// maxValue keeps a file of nothing but variables small.
const maxValue = 100

// Variables of keepalived (keepalived.conf(5), parameter substitution).
var (
	variable   = regexp.MustCompile(`\$(\{[A-Za-z_][A-Za-z0-9_]*\}|[A-Za-z_][A-Za-z0-9_]*)`)
	definition = regexp.MustCompile(`^[ \t]*(@\S+[ \t]+)?\$([A-Za-z_][A-Za-z0-9_]*)=(.*)$`)
	plainValue = regexp.MustCompile(`^[A-Za-z0-9 ._:/+-]+$`)
	dependent  = regexp.MustCompile(variable.String() + `|~(SEQ|LST)\(`)
)

// resolveVariables puts the values of variables into the lines behind their definitions, which become empty. A value
// that has several lines, holds only under a condition, or has other variables or quotes is not followed.
func resolveVariables(lines []string) {
	values := map[string]string{}
	continued := false // a definition goes on behind a backslash at the end of its line
	for i, line := range lines {
		if continued {
			continued, lines[i] = strings.HasSuffix(line, "\\"), ""
			continue
		}
		if !strings.Contains(line, "$") {
			continue
		}
		d := definition.FindStringSubmatch(line)
		if d == nil {
			lines[i] = variable.ReplaceAllStringFunc(line, func(use string) string {
				if value := values[strings.Trim(use, "${}")]; value != "" {
					return value
				}
				return use
			})
			continue
		}
		value := d[3]
		if at := strings.IndexAny(value, "#!"); at >= 0 { // a comment
			value = value[:at]
		}
		if value = strings.TrimSpace(value); d[1] != "" || len(value) > maxValue || !plainValue.MatchString(value) {
			delete(values, d[2])
			continued = strings.HasSuffix(line, "\\")
			continue
		}
		values[d[2]], lines[i] = value, ""
	}
}

// leaveOutVariables reports statements that depend on conditions, or on variables whose values the file does not show,
// and takes them out. A virtual router whose name is a variable stays.
func (m *mapping) leaveOutVariables(b *block) {
	const why = "it depends on conditions or variables of keepalived"
	b.children = slices.DeleteFunc(b.children, func(s *block) bool {
		name := s.word(0)
		if strings.HasPrefix(name, "$") && b.word(0) != "" {
			name = b.word(0)
		}
		name, _, _ = strings.Cut(name, "=") // a value may be a password
		depends := slices.ContainsFunc(s.words, func(word string) bool {
			return strings.ContainsAny(word, "$~") && dependent.MatchString(word)
		})
		switch {
		case name == "authentication": // a password may look like a variable
			return false
		case depends && s.braces && name == "vrrp_instance":
			m.note(s.line, name, "carried over under another name, because %s", why)
		case depends, strings.HasPrefix(name, "@"):
			m.lost(s.line, name, why)
			return true
		}
		m.leaveOutVariables(s)
		return false
	})
}
