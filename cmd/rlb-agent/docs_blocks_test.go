package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"rlb.dev/rlb-agent/api"
)

func TestBlocks(t *testing.T) {
	for _, d := range documents(t) {
		for _, b := range d.blocks {
			var err error
			switch b.language {
			case "sh":
				err = checkShell(b.text)
			case "yaml":
				err = checkYAML(b.text)
			case "text", "usage":
			default:
				err = fmt.Errorf("is of no known language: %q", b.language)
			}
			if err != nil {
				t.Errorf("%s:%d: the block %v", d.path, b.line, err)
			}
		}
	}
}

// TestTheQuickStartIsTheReadmes: the Japanese quick start has the README's commands and spec, and names what the README
// names from "Install" on.
func TestTheQuickStartIsTheReadmes(t *testing.T) {
	texts := map[string]document{}
	for _, d := range documents(t) {
		texts[d.path] = d
	}
	readme, quick := texts["README.md"], texts["README.ja.md"]
	if diff := cmp.Diff(readme.typed(), quick.typed()); diff != "" {
		t.Errorf("the blocks of README.ja.md are not those of README.md (-README +quick start):\n%s", diff)
	}
	_, prose, found := strings.Cut(readme.prose, "\n## Install\n")
	named := codeSpan.FindAllString(prose, -1)
	for _, code := range named {
		if !strings.Contains(quick.prose, code) {
			t.Errorf("README.ja.md does not name %s", code)
		}
	}
	if !found || len(named) < 10 {
		t.Errorf("README.md names only %d things from Install on", len(named))
	}
}

var codeSpan = regexp.MustCompile("`[^`]+`")

// typed returns the lines of a document's blocks that readers type, without comments.
func (d document) typed() (lines []string) {
	for _, b := range d.blocks {
		for line := range strings.Lines(b.text) {
			line, _, _ = strings.Cut(line, " #")
			lines = append(lines, b.language+": "+strings.TrimRight(line, " \n"))
		}
	}
	return lines
}

// checkYAML parses a spec, or a part of one, whose fields replace those of the smallest example.
func checkYAML(text string) error {
	if !strings.Contains(text, "apiVersion:") {
		whole, part := map[string]any{}, map[string]any{}
		minimal, err := os.ReadFile(top + "/examples/minimal.yaml")
		if err == nil {
			err = yaml.Unmarshal(minimal, &whole)
		}
		if err == nil {
			err = yaml.UnmarshalStrict([]byte(text), &part)
		}
		if err != nil {
			return fmt.Errorf("cannot be parsed: %w", err)
		}
		for field, value := range part {
			whole[field] = value
		}
		data, err := yaml.Marshal(whole)
		if err != nil {
			return err
		}
		text = string(data)
	}
	if _, err := api.Parse("spec", []byte(text)); err != nil {
		return fmt.Errorf("is refused: %w", err)
	}
	return nil
}

// checkShell checks a block of commands: the shell parses all of it, and each command is checked by the rules for its
// program.
func checkShell(text string) error {
	if err := checkShellSyntax(text); err != nil {
		return err
	}
	for line := range strings.Lines(text) {
		for command := range strings.SplitSeq(line, " | ") {
			words := shellWords(command)
			if len(words) > 0 && words[0] == "sudo" {
				words = words[1:]
			}
			if len(words) == 0 {
				continue
			}
			if err := checkCommand(words); err != nil {
				return fmt.Errorf("cannot work: %s: %w", strings.TrimSpace(line), err)
			}
		}
	}
	return nil
}

func checkShellSyntax(text string) error {
	shell := exec.Command("sh", "-n")
	shell.Stdin = strings.NewReader(text)
	if out, err := shell.CombinedOutput(); err != nil {
		return fmt.Errorf("is refused by the shell: %s", out)
	}
	return nil
}

// programs are other programs that the documents may call.
var programs = strings.Fields(`apt-get arping curl firewall-cmd install ip ip6tables iptables journalctl k3s kubeadm nft ping ps rm scp sha256sum systemctl
	systemd-analyze tcpdump`)

// debPackage matches the packages of "make package".
var debPackage = regexp.MustCompile(`^\./rlb-agent_\*_(amd64|arm64|armhf)\.deb$`)

func checkCommand(words []string) error {
	program, args := words[0], words[1:]
	for _, arg := range args {
		if debPackage.MatchString(arg) {
			continue
		}
		for _, dir := range []string{"examples/", "hack/", "./"} {
			if strings.HasPrefix(arg, dir) {
				if _, err := os.Stat(filepath.Join(top, arg)); err != nil {
					return err
				}
			}
		}
	}
	switch {
	case program == "rlb-agent":
		return checkAgent(args)
	case program == "make":
		return checkMake(args)
	case program == "go" && len(args) > 1 && (args[0] == "run" || args[0] == "test"), slices.Contains(programs, program):
		return nil
	}
	return fmt.Errorf("%s is not among the programs that the documents call", program)
}

// needed matches the arguments of a usage line; optional ones are in brackets.
var needed = regexp.MustCompile(`\[[^\]]*\]|\b[A-Z]+\b`)

// checkAgent parses a call of rlb-agent.
func checkAgent(args []string) error {
	command, rest, err := commandTree().Find(args)
	if err != nil {
		return err
	}
	if err := command.ParseFlags(rest); err != nil {
		return err
	}
	args = command.Flags().Args()
	for _, argument := range needed.FindAllString(command.Use, -1) {
		if !strings.HasPrefix(argument, "[") && len(args) == 0 && !command.Flags().Changed("end") { // try --end takes no argument
			return fmt.Errorf("%s needs an argument %s", command.Name(), argument)
		}
	}
	output := command.Flags().Lookup("output")
	if known := formats[command.Name()]; output != nil && !slices.Contains(known, output.Value.String()) {
		return fmt.Errorf("there is no output %s", output.Value)
	}
	if command.Name() == "help" && len(args) == 1 {
		if !slices.Contains(helpNames(command.Root()), args[0]) && args[0] != "TOPIC" {
			return fmt.Errorf("there is no topic %s", args[0])
		}
	}
	return command.ValidateArgs(args)
}

func checkMake(targets []string) error {
	data, err := os.ReadFile(top + "/Makefile")
	if err != nil {
		return err
	}
	for _, target := range targets {
		if variable, _, ok := strings.Cut(target, "="); ok {
			if !strings.Contains(string(data), "$("+variable+")") {
				return fmt.Errorf("there is no variable %s", variable)
			}
			continue
		}
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(target) + `:`).Match(data) {
			return fmt.Errorf("there is no target %s", target)
		}
	}
	return nil
}

var shellWord = regexp.MustCompile(`'[^']*'|"[^"]*"|\S+`)

// shellWords returns the words of a line before its comment or output redirection, without input redirections.
func shellWords(line string) []string {
	var words []string
	for _, word := range shellWord.FindAllString(line, -1) {
		if strings.HasPrefix(word, "#") || word == ">" {
			break
		}
		if strings.HasPrefix(word, "<") {
			continue
		}
		words = append(words, strings.Trim(word, `'"`))
	}
	return words
}

func TestWrongBlocksAreFound(t *testing.T) {
	for _, text := range []string{
		"rlb-agent nonsense", "sudo rlb-agent drain --forse", "rlb-agent validate a b", "rlb-agent help nonsense", "rlb-agent push --yes", "rlb-agent history diff", "rlb-agent status -o nonsense",
		"make nonsense", "make NONSENSE=1 build", "frobnicate", "go run ./nonsense", "rlb-agent --once |", "install -m 644 examples/nonsense.yaml /etc", "apt-get install ./rlb-agent_*_mips.deb",
		"rlb-agent schema | frobnicate", "rlb-agent import --nonsense > spec.yaml",
	} {
		if checkShell(text+"\n") == nil {
			t.Errorf("nothing is found wrong in the commands %q", text)
		}
	}
	for _, text := range []string{"vrrp: {transpor: unicast}", "apiVersion: rlb.dev/v1\nkind: x\n", "a: [", "vrrp: {transport: unicast}"} {
		if checkYAML(text) == nil {
			t.Errorf("nothing is found wrong in the spec %q", text)
		}
	}
}
