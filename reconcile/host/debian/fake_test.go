package debian

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/reconcile/host/rootpath"
)

// fake is a system of recorded answers: the first whose words begin the command's is given, and kept unless once.
type fake struct {
	t       *testing.T
	absent  []string // programs that are not installed
	answers []answer
	ran     []string // commands, in order
}

type answer struct {
	words string // what the command begins with
	out   output
	log   string // what it appends to apt's log, for systemd-run
	once  bool
}

func (f *fake) find(program string) (string, error) {
	if slices.Contains(f.absent, program) {
		return "", unavailable(program + " is not installed")
	}
	return "/usr/bin/" + program, nil
}

func (f *fake) run(ctx context.Context, c command) (output, error) {
	if err := ctx.Err(); err != nil {
		return output{}, err
	}
	if _, err := f.find(c.program); err != nil {
		return output{}, err
	}
	words := c.String()
	if c.program == "systemd-run" { // what runs in the unit tells more than how
		_, words, _ = strings.Cut(words, " -- /usr/bin/")
		words = "unit: " + words
	}
	if c.stdin != "" {
		words += " <<< " + c.stdin
	}
	f.ran = append(f.ran, words)
	for i, a := range f.answers {
		if !strings.HasPrefix(words, a.words) {
			continue
		}
		if a.once {
			f.answers = slices.Delete(f.answers, i, i+1)
		}
		if a.log != "" {
			appendTo(f.t, logOf(c), a.log)
		}
		return a.out, nil
	}
	return output{}, nil
}

// logOf is the file to which systemd-run has the unit append.
func logOf(c command) string {
	for _, arg := range c.args {
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

// newFake is a host of recorded answers, as root.
func newFake(t *testing.T, answers ...answer) (*Host, *fake) {
	f := &fake{t: t, answers: answers}
	h := &Host{
		log: slog.New(slog.DiscardHandler), progress: func(string) {}, lockTimeout: 50 * time.Millisecond,
		system: f, root: true, paths: rootpath.Within(os.TempDir()), proc: t.TempDir(), run: t.TempDir(), pause: time.Millisecond,
	}
	return h, f
}

func wantError(t *testing.T, err error, want string) {
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
