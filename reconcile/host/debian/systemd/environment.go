package systemd

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// environmentFile is one EnvironmentFile= of a unit. The path can be a glob.
type environmentFile struct {
	path     string
	optional bool // written with a leading "-": may be missing or unreadable
}

// environmentOf returns the environment of a unit's processes: Environment= first, then the files; later ones win. A
// missing file that is not optional prevents the unit from starting; environmentOf then returns the rest.
func environmentOf(assignments []string, files []environmentFile) (map[string]string, error) {
	env := make(map[string]string)
	for _, a := range assignments {
		if name, value, ok := strings.Cut(a, "="); ok {
			env[name] = value
		}
	}
	for _, file := range files {
		paths, err := filepath.Glob(file.path)
		if err != nil {
			paths = []string{file.path}
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil && file.optional && !errors.Is(err, fs.ErrPermission) { // systemd ignores it too, but it may read all files
				continue
			}
			if err != nil {
				return nil, err
			}
			for name, value := range parseEnvironment(string(data)) {
				env[name] = value
			}
		}
	}
	return env, nil
}

var (
	variableName   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	bracedVariable = regexp.MustCompile(`\$\{\w+\}`)
)

// ExpandArgs expands the variables in a unit's command line: $NAME as a separate word becomes the words of its value,
// ${NAME} is replaced by its value anywhere (systemd.service(5), "Command lines").
func ExpandArgs(args []string, env map[string]string) (expanded []string) {
	for _, arg := range args {
		if name, alone := strings.CutPrefix(arg, "$"); alone && variableName.MatchString(name) {
			expanded = append(expanded, strings.Fields(env[name])...)
			continue
		}
		expanded = append(expanded, bracedVariable.ReplaceAllStringFunc(arg, func(word string) string {
			return env[word[2:len(word)-1]]
		}))
	}
	return expanded
}

// parseEnvironment parses a file in the syntax of systemd's EnvironmentFile=: NAME=value lines; comments start with "#" or
// ";"; single and double quotes, also across lines; a backslash keeps the next character, or joins lines; blanks around
// names and unquoted values are removed.
func parseEnvironment(text string) map[string]string {
	env := make(map[string]string)
	const (
		beforeName = iota
		inName
		beforeValue
		inValue
		escaped
		single
		double
		doubleEscaped
		comment
	)
	var name, value strings.Builder
	trim := 0 // value up to here was quoted or escaped, and is not trimmed
	push := func() {
		v := value.String()
		v = v[:trim] + strings.TrimRight(v[trim:], " \t\r")
		if n := strings.TrimRight(name.String(), " \t\r"); variableName.MatchString(n) {
			env[n] = v
		}
		name.Reset()
		value.Reset()
		trim = 0
	}

	state := beforeName
	for _, c := range []byte(text) {
		newline := c == '\n' || c == '\r'
		blank := newline || c == ' ' || c == '\t'
		switch state {
		case beforeName:
			switch {
			case c == '#' || c == ';':
				state = comment
			case !blank:
				name.WriteByte(c)
				state = inName
			}
		case inName:
			switch {
			case newline: // no "=": not an assignment
				name.Reset()
				state = beforeName
			case c == '=':
				state = beforeValue
			default:
				name.WriteByte(c)
			}
		case beforeValue, inValue:
			switch {
			case newline:
				push()
				state = beforeName
			case c == '\\':
				state = escaped
			case state == beforeValue && c == '\'':
				state = single
			case state == beforeValue && c == '"':
				state = double
			case state == beforeValue && blank:
			default:
				value.WriteByte(c)
				state = inValue
			}
		case escaped:
			if !newline {
				value.WriteByte(c)
				trim = value.Len()
			}
			state = inValue
		case single:
			if c == '\'' {
				state = beforeValue
				trim = value.Len()
			} else {
				value.WriteByte(c)
			}
		case double:
			switch c {
			case '"':
				state = beforeValue
				trim = value.Len()
			case '\\':
				state = doubleEscaped
			default:
				value.WriteByte(c)
			}
		case doubleEscaped:
			if !strings.ContainsRune("\"\\`$\n", rune(c)) {
				value.WriteByte('\\')
			}
			if c != '\n' {
				value.WriteByte(c)
			}
			state = double
		case comment:
			if newline {
				state = beforeName
			}
		}
	}
	switch state {
	case single, double, doubleEscaped:
		trim = value.Len()
		push()
	case beforeValue, inValue, escaped:
		push()
	}
	return env
}
