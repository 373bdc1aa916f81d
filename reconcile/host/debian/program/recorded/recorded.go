// Package recorded stands for the programs of a machine in tests: it gives recorded answers.
package recorded

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian/program"
)

// System is a program.System of recorded answers: the first whose words begin the command's is given, and kept unless once.
type System struct {
	T       *testing.T
	Absent  []string // programs that are not installed
	Answers []Answer
	Ran     []string // commands, in order
}

// Runner is a Runner of recorded answers, which hardly waits for locks.
func Runner(t *testing.T, answers ...Answer) (*program.Runner, *System) {
	s := &System{T: t, Answers: answers}
	return &program.Runner{System: s, Progress: func(string) {}, LockTimeout: 50 * time.Millisecond, Pause: time.Millisecond}, s
}

// An Answer is what one kind of command gives. Its fields are in this order: what the command begins with, ("unit: …" for what
// systemd-run runs), what it gives, what it appends to apt's log, and whether it does so once only.
type Answer struct {
	Words string
	Out   program.Output
	Log   string
	Once  bool
}

// Find is the path of a program that is not absent.
func (s *System) Find(name string) (string, error) {
	if slices.Contains(s.Absent, name) {
		return "", host.Unavailable(name+" is not installed", nil)
	}
	return "/usr/bin/" + name, nil
}

// Run notes the command and gives its answer, or an empty one.
func (s *System) Run(ctx context.Context, c program.Command) (program.Output, error) {
	if err := ctx.Err(); err != nil {
		return program.Output{}, err
	}
	if _, err := s.Find(c.Name); err != nil {
		return program.Output{}, err
	}
	words := c.String()
	if c.Name == "systemd-run" { // what runs in the unit tells more than how
		_, words, _ = strings.Cut(words, " -- /usr/bin/")
		words = "unit: " + words
	}
	if c.Stdin != "" {
		words += " <<< " + c.Stdin
	}
	s.Ran = append(s.Ran, words)
	for i, a := range s.Answers {
		if !strings.HasPrefix(words, a.Words) {
			continue
		}
		if a.Once {
			s.Answers = slices.Delete(s.Answers, i, i+1)
		}
		if a.Log != "" {
			appendTo(s.T, logOf(c), a.Log)
		}
		return a.Out, nil
	}
	return program.Output{}, nil
}

// logOf is the file to which systemd-run has the unit append.
func logOf(c program.Command) string {
	for _, arg := range c.Args {
		if path, ok := strings.CutPrefix(arg, "--property=StandardOutput=append:"); ok {
			return path
		}
	}
	return ""
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		_, err = f.WriteString(text)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// WantError fails the test unless the error's text is want, "" for no error.
func WantError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("error %q, want none", err)
	case want != "" && err == nil:
		t.Errorf("no error, want %q", want)
	case want != "" && err.Error() != want:
		t.Errorf("error\n\t%q, want\n\t%q", err, want)
	}
}
