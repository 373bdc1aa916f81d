package debian

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"rlb.dev/rlb-agent/reconcile/host/debian/program"
	"rlb.dev/rlb-agent/reconcile/host/debian/program/recorded"
)

// oneFile finds every program in the same file.
type oneFile struct {
	*recorded.System
	path string
}

func (p oneFile) Find(string) (string, error) { return p.path, nil }

// TestStateSignal: a keepalived program is asked only once for its signal, even by several processes of the agent.
func TestStateSignal(t *testing.T) {
	run, path := t.TempDir(), filepath.Join(t.TempDir(), "keepalived")
	kept := filepath.Join(run, signalFile)
	write(t, path, "2.3.3")
	process := func() (*Host, *recorded.System) { // a new process of the agent
		h, programs := newFake(t, recorded.Answer{Words: "keepalived --signum=JSON", Out: program.Output{Stdout: "36\n"}})
		h.programs.System, h.run = oneFile{programs, path}, run
		return h, programs
	}
	look := func(what string, h *Host, programs *recorded.System, asked int) {
		t.Helper()
		signal, err := h.stateSignal(t.Context())
		if err != nil || signal != 36 || len(programs.Ran) != asked {
			t.Errorf("%s: signal %d, %v, after %d questions of %d", what, signal, err, len(programs.Ran), asked)
		}
		programs.Ran = nil
	}
	h, programs := process()
	look("the first time", h, programs, 1)
	look("the second time", h, programs, 0)
	h, programs = process()
	look("the next process", h, programs, 0)

	write(t, path+".new", "2.3.4")
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	look("another program", h, programs, 1)
	h, programs = process()
	look("the next process with that", h, programs, 0)

	for _, garbled := range []string{"", "36", `{"program": 7}`, `{"program": "` + identity(path) + `"}`, `{"program": "` + identity(path) + `", "signal": 15}`} {
		write(t, kept, garbled)
		h, programs := process()
		look("garbled: "+garbled, h, programs, 1)
		h, programs = process()
		look("after that", h, programs, 0)
	}

	if err := os.RemoveAll(run); err != nil {
		t.Fatal(err)
	}
	h, programs = process()
	look("no place to keep it", h, programs, 1)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	h, programs = process()
	look("a file that cannot be seen", h, programs, 1)
}

// TestNoStateSignal: a keepalived that was built without that signal is asked again each time.
func TestNoStateSignal(t *testing.T) {
	h, programs := newFake(t, recorded.Answer{Words: "keepalived --signum=JSON", Out: program.Output{Stderr: "unknown signal JSON\n", Code: 1}})
	for range 2 {
		signal, err := h.stateSignal(t.Context())
		if signal != syscall.Signal(0) || err == nil {
			t.Errorf("signal %d, %v", signal, err)
		}
	}
	if len(programs.Ran) != 2 {
		t.Errorf("ran %q", programs.Ran)
	}
}
