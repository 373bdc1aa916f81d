// Package recorded replaces the programs of a machine in tests: it returns recorded answers.
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

// System is a program.System with recorded answers. It returns the first answer whose Words are a prefix of the command.
type System struct {
	T       *testing.T
	Absent  []string // programs that are not installed
	Answers []Answer
	Ran     []string // commands, in order
}

// Runner returns a Runner with recorded answers and short waits for locks.
func Runner(t *testing.T, answers ...Answer) (*program.Runner, *System) {
	s := &System{T: t, Answers: answers}
	return &program.Runner{System: s, Progress: func(string) {}, LockTimeout: 50 * time.Millisecond, Pause: time.Millisecond}, s
}

// An Answer is the result of one kind of command. Its fields are, in order: the start of the command line ("unit: …" for a
// command in systemd-run's unit), the output, the text to append to apt's log, and whether the answer is used once only.
type Answer struct {
	Words string
	Out   program.Output
	Log   string
	Once  bool
}

// Find returns the path of a program that is not absent.
func (s *System) Find(name string) (string, error) {
	if slices.Contains(s.Absent, name) {
		return "", host.Unavailable(name+" is not installed", nil)
	}
	return "/usr/bin/" + name, nil
}

// Run records the command and returns its answer, or an empty one.
func (s *System) Run(ctx context.Context, c program.Command) (program.Output, error) {
	if err := ctx.Err(); err != nil {
		return program.Output{}, err
	}
	if _, err := s.Find(c.Name); err != nil {
		return program.Output{}, err
	}
	words := c.String()
	if c.Name == "systemd-run" { // the command in the unit tells more than that of systemd-run
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

// logOf returns the file to which systemd-run lets the unit append.
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

// WantError fails the test unless the error's text is want; "" means no error.
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
