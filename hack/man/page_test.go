package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"rlb.dev/rlb-agent/cmd/rlb-agent/manual"
)

func TestPages(t *testing.T) {
	all := pages(manual.Topics())
	var files []string
	for _, p := range all {
		files = append(files, p.file())
	}
	for _, want := range []string{"rlb-agent.8", "rlb-agent-drain.8", "rlb-agent-try.8", "rlb-agent-spec.5", "rlb-agent-troubleshooting.7"} {
		if !slices.Contains(files, want) {
			t.Errorf("there is no page %s among %q", want, files)
		}
	}
	for _, p := range all {
		roff := string(p.roff("1.2"))
		for _, part := range []string{".TH", ".SH NAME\n", ".SH DESCRIPTION\n", ".SH SEE ALSO\n", fmt.Sprintf("%q", p.section), `"rlb-agent 1.2"`} {
			if !strings.Contains(roff, part) {
				t.Errorf("%s lacks %q", p.file(), part)
			}
		}
		for _, mark := range []string{"```", "\n## ", "!["} {
			if strings.Contains(roff, mark) {
				t.Errorf("%s has %q of Markdown", p.file(), mark)
			}
		}
		if (p.section == "8") != strings.Contains(roff, ".SH SYNOPSIS\n") {
			t.Errorf("%s: a page of a command, and no other, has a synopsis", p.file())
		}
		if p.summary == "" || len(p.summary) > 160 {
			t.Errorf("%s has the summary %q", p.file(), p.summary)
		}
	}
}

// TestGroffTakesThePages: groff reads every page without a warning, on a terminal that is wide
// enough for the tables.
func TestGroffTakesThePages(t *testing.T) {
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Skip("groff is not installed")
	}
	for _, p := range pages(manual.Topics()) {
		command := exec.Command(groff, "-t", "-man", "-Tutf8", "-rLL=160n", "-ww", "-k", "-z")
		command.Stdin = bytes.NewReader(p.roff(""))
		if out, err := command.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v: %s", p.file(), err, out)
		}
	}
}
