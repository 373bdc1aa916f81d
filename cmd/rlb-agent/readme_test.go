package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// The README names every subcommand, and no other as one that is there.
func TestReadmeNamesTheCommands(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	a := &app{stdout: new(bytes.Buffer), stderr: new(bytes.Buffer)}
	root := a.command()
	root.InitDefaultCompletionCmd()
	known := map[string]bool{"completion": true, "help": true}
	for _, command := range root.Commands() {
		known[command.Name()] = true
		if command.Name() != "help" && command.Name() != "completion" && !command.Hidden && !bytes.Contains(readme, []byte("| `rlb-agent "+command.Name())) {
			t.Errorf("README.md has no row for rlb-agent %s", command.Name())
		}
	}
	for line := range strings.Lines(string(readme)) {
		if name, ok := strings.CutPrefix(line, "| `rlb-agent "); ok && !strings.HasPrefix(name, "-") {
			name, _, _ = strings.Cut(strings.Trim(strings.Fields(name)[0], "`"), "`")
			if !known[name] {
				t.Errorf("README.md has a row for rlb-agent %s, which there is not", name)
			}
		}
	}
}
