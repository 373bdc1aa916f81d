package debian

import (
	"context"
	"regexp"
	"slices"
	"strings"
)

// configArgs are the arguments that give a program the configuration that its unit gives it, with a candidate in the place
// of the file at path. Other files and directories stay: what they say counts for the candidate too.
func (h *Host) configArgs(ctx context.Context, unit, path, candidate string) []string {
	alone := []string{"-f", candidate}
	p, err := h.properties(ctx, unit)
	if err != nil { // no systemd: then no unit
		return alone
	}
	env, err := unitEnvironment(p.texts("Environment"), p.environmentFiles())
	if err != nil {
		return alone
	}
	configs := configsOf(expandArgs(p.execStart(), env))
	at := slices.Index(configs, path)
	if at < 0 {
		return alone
	}
	configs[at] = candidate
	var args []string
	for _, config := range configs {
		args = append(args, "-f", config)
	}
	return args
}

// configsOf are the values of all options -f of a command line, in order.
func configsOf(args []string) (configs []string) {
	for i := 1; i < len(args); i++ {
		if args[i-1] == "-f" {
			configs = append(configs, args[i])
			i++
		}
	}
	return configs
}

var bracedVariable = regexp.MustCompile(`\$\{\w+\}`)

// expandArgs puts the values of variables into a unit's command line: $NAME as a word of its own gives the words of its
// value, ${NAME} gives its value wherever it stands (systemd.service(5), "Command lines").
func expandArgs(args []string, env map[string]string) (expanded []string) {
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

// execStart is the command line of a unit's ExecStart=, of type a(sasbttttuii): the arguments come second.
func (p properties) execStart() []string {
	commands, _ := p["ExecStart"].([][]any)
	if len(commands) == 0 || len(commands[0]) < 2 {
		return nil
	}
	args, _ := commands[0][1].([]string)
	return args
}
