package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rlb.dev/rlb-agent/cmd/rlb-agent/terminal"
)

// TestForeignTextOnATerminal: text from files, programs and other machines does not control the
// terminal that shows it.
func TestForeignTextOnATerminal(t *testing.T) {
	control, screen := pty(t)
	shown := func(args ...string) string {
		t.Helper()
		run(t.Context(), args, strings.NewReader(""), screen, screen)
		fmt.Fprint(screen, "END")
		text, part := "", make([]byte, 4096)
		for !strings.HasSuffix(text, "END") {
			n, err := control.Read(part)
			if err != nil {
				t.Fatal(err)
			}
			text += string(part[:n])
		}
		return strings.ReplaceAll(strings.ReplaceAll(text, terminal.EraseLine, ""), "\r\n", "\n")
	}
	const odd = "\x1b]0;title\x07\u009b2J\rname"
	good := filepath.Join(t.TempDir(), odd)
	spec, err := os.ReadFile("../../examples/pair.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(good, spec, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"an error":        {"validate", "/nosuch/" + odd},
		"standard output": {"validate", "--log-level", "error", good},
		"the log":         {"validate", good},
	} {
		if text := shown(args...); strings.ContainsAny(text, "\x1b\a\r\u009b") || !strings.Contains(text, "]0;title2Jname") {
			t.Errorf("%s: %q", name, text)
		}
	}
}

// pty returns a terminal and its control side.
func pty(t *testing.T) (control, screen *os.File) {
	t.Helper()
	control, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { control.Close() })
	if err := unix.IoctlSetPointerInt(int(control.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(control.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	return control, screen
}
