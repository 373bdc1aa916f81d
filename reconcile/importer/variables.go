package importer

import (
	"regexp"
	"slices"
	"strings"
)

// maxValue is the longest value of a variable, in bytes. It limits the growth of a file that consists of variables.
const maxValue = 100

// The syntax of variables of keepalived (keepalived.conf(5), parameter substitution).
var (
	variable   = regexp.MustCompile(`\$(\{[A-Za-z_][A-Za-z0-9_]*\}|[A-Za-z_][A-Za-z0-9_]*)`)
	definition = regexp.MustCompile(`^[ \t]*(@\S+[ \t]+)?\$([A-Za-z_][A-Za-z0-9_]*)=(.*)$`)
	plainValue = regexp.MustCompile(`^[A-Za-z0-9 ._:/+-]+$`)
	dependent  = regexp.MustCompile(variable.String() + `|~(SEQ|LST)\(`)
)

// resolveVariables replaces variables by their values in the lines after their definitions. Lines with a definition become
// empty. It does not replace a value that has several lines, depends on a condition, or contains variables or quotes.
func resolveVariables(lines []string) {
	values := map[string]string{}
	continued := false // the line before is a definition that ends with a backslash
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

// leaveOutVariables reports and removes statements that depend on conditions, or on variables whose values the file does not
// show. It keeps a virtual router whose name is a variable.
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
