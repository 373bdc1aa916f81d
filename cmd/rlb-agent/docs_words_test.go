package main

import (
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"rlb.dev/rlb-agent/cmd/rlb-agent/manual"
)

var update = flag.Bool("update", false, "write the usage blocks of the commands page anew")

const commandsPage = top + "/cmd/rlb-agent/manual/commands.md"

// TestTheCommandsPageIsUpToDate: the commands page has a section for every command, with the program's usage text.
func TestTheCommandsPageIsUpToDate(t *testing.T) {
	data, err := os.ReadFile(commandsPage)
	if err != nil {
		t.Fatal(err)
	}
	root := commandTree()
	missing := []string{"rlb-agent"}
	for _, command := range root.Commands() {
		if command.IsAvailableCommand() && command.Name() != "completion" || command.Name() == "help" {
			missing = append(missing, command.CommandPath())
		}
	}
	parts := regexp.MustCompile(`(?m)^## `).Split(string(data), -1)
	for i, part := range parts {
		title, body, _ := strings.Cut(part, "\n")
		path, isCommand := strings.CutPrefix(title, "rlb-agent")
		if i == 0 || !isCommand {
			continue
		}
		at := slices.Index(missing, title)
		if at < 0 {
			t.Errorf("the page has a section %s, and the program has no such command", title)
			continue
		}
		missing = slices.Delete(missing, at, at+1)
		command, _, err := root.Find(strings.Fields(path))
		if err != nil {
			t.Fatal(err)
		}
		before, rest, begins := strings.Cut(body, "```usage\n")
		_, after, ends := strings.Cut(rest, "```\n")
		if !begins || !ends {
			t.Errorf("the section %s has no usage block", title)
			continue
		}
		parts[i] = title + "\n" + before + "```usage\n" + usage(command) + "```\n" + after
	}
	if len(missing) > 0 {
		t.Errorf("the page has no section for %q", missing)
	}
	want := strings.Join(parts, "## ")
	if *update {
		if err := os.WriteFile(commandsPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(data)); diff != "" {
		t.Errorf("%s is out of date: make manual (-want +got):\n%s", commandsPage, diff)
	}
}

// usage returns the usage line of a command and its own flags.
func usage(command *cobra.Command) string {
	flags := command.NonInheritedFlags()
	text := command.UseLine() + "\n"
	if flags.HasAvailableFlags() {
		text += "\n" + flags.FlagUsages()
	}
	return text
}

var (
	inline    = regexp.MustCompile("`([^`]+)`")
	flagName  = regexp.MustCompile(`--?[a-z][a-z-]*`)
	listed    = regexp.MustCompile("(?m)^- `([^`]+)` \\(")
	fieldPath = regexp.MustCompile(`^[a-z][A-Za-z]*(\.[a-z][A-Za-z]*)+$`)
	notFields = regexp.MustCompile(`\.(cfg|conf|json|md|org|replaced|service|yaml)$`)
)

// TestTheProseNamesWhatThereIs: the commands, flags, make targets and fields that the documents name exist.
func TestTheProseNamesWhatThereIs(t *testing.T) {
	spec, ok := manual.Page("spec")
	if !ok {
		t.Fatal("the manual has no page spec")
	}
	var fields []string
	for _, match := range listed.FindAllStringSubmatch(spec.Text, -1) {
		fields = append(fields, strings.ReplaceAll(match[1], "[]", ""))
	}
	for _, d := range documents(t) {
		for _, match := range inline.FindAllStringSubmatch(d.prose, -1) {
			if problem := unknownName(match[1], fields); problem != "" {
				t.Errorf("%s: `%s`: %s", d.path, match[1], problem)
			}
		}
	}
}

// unknownName says what is wrong with a code span in the prose, or "". The end of a field's path is enough to name it.
func unknownName(code string, fields []string) string {
	words := strings.Fields(code)
	switch {
	case words[0] == "make" && len(words) == 2:
		if err := checkMake(words[1:]); err != nil {
			return err.Error()
		}
	case words[0] == "rlb-agent" && len(words) > 1:
		command, rest, err := commandTree().Find(words[1:])
		if err != nil || !command.HasParent() && !strings.HasPrefix(words[1], "-") {
			return "there is no such command"
		}
		for _, name := range flagName.FindAllString(strings.Join(rest, " "), -1) {
			name = strings.TrimLeft(name, "-")
			if command.Flags().Lookup(name) == nil && command.InheritedFlags().Lookup(name) == nil && command.Flags().ShorthandLookup(name[:1]) == nil {
				return "there is no such flag"
			}
		}
	}
	code, _, _ = strings.Cut(strings.ReplaceAll(code, "[]", ""), ":") // without its value
	if fieldPath.MatchString(code) && !notFields.MatchString(code) &&
		!slices.ContainsFunc(fields, func(f string) bool { return f == code || strings.HasSuffix(f, "."+code) }) {
		return "there is no such field"
	}
	return ""
}

func TestUnknownNamesAreFound(t *testing.T) {
	fields := []string{"vrrp.preempt", "services.port", "services.healthCheck.path"}
	for code, wrong := range map[string]bool{
		"make test": false, "make nonsense": true, "rlb-agent drain --force": false, "rlb-agent drian": true, "rlb-agent drain --forse": true,
		"rlb-agent --once": false, "rlb-agent status -o json": false, "vrrp.preempt": false, "services[].port": false, "vrrp.premt": true, "rlb-agent": false,
		"healthCheck.path: /": false, "healthCheck.pat": true, "haproxy.cfg": false, "spec.yaml": false,
	} {
		if got := unknownName(code, fields) != ""; got != wrong {
			t.Errorf("%q: wrong %v, want %v", code, got, wrong)
		}
	}
}
