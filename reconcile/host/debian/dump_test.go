package debian

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
)

// keepalived makes a process 7 with root as its file system and with this environment.
func keepalived(t *testing.T, environ string) (h *Host, root string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root makes files of root's")
	}
	h, _ = newFake(t)
	root = t.TempDir()
	for _, dir := range []string{filepath.Join(root, "tmp"), filepath.Join(root, "run/keepalived"), filepath.Join(h.proc, "7")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(h.proc, "7/environ"), environ)
	if err := os.Symlink(root, filepath.Join(h.proc, "7/root")); err != nil {
		t.Fatal(err)
	}
	return h, root
}

func TestDump(t *testing.T) {
	const own, shared = "run/keepalived/keepalived.json", "tmp/keepalived.json"
	no := func(*testing.T, string) {}
	block := func(path string) func(*testing.T, string) {
		return func(t *testing.T, root string) {
			if err := os.MkdirAll(filepath.Join(root, path, "x"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, test := range []struct {
		name, environ string
		before        func(t *testing.T, root string) // an intruder's change before the signal
		writes        string                          // where keepalived writes; "" if it hangs
		after         func(t *testing.T, root string) // an intruder's change after the signal
		want          string                          // text of the error
	}{
		{"the usual place", "A=1\x00", no, shared, no, ""},
		{"a place of its own", "A=1\x00TMPDIR=/run/keepalived\x00", no, own, no, ""},
		{"a keepalived that does not read TMPDIR", "TMPDIR=/run/keepalived\x00", no, shared, no, ""},
		{"a relative TMPDIR", "TMPDIR=run/keepalived\x00", no, shared, no, ""},
		{"somebody in the way elsewhere", "TMPDIR=/run/keepalived\x00", block(shared), own, no, ""},
		{"somebody in the way", "", block(shared), "", no, "is a directory"},
		{"somebody in the way later", "", no, "", block(shared), "is not a file of keepalived's"},
		{"it hangs", "TMPDIR=/run/keepalived\x00", no, "", no, host.ErrNoAnswer.Error()},
		{"an old one", "", func(t *testing.T, root string) { write(t, filepath.Join(root, shared), "whole") }, "", no, host.ErrNoAnswer.Error()},
		{"somebody else's", "", no, "", func(t *testing.T, root string) {
			write(t, filepath.Join(root, shared), "whole")
			if err := os.Chown(filepath.Join(root, shared), 65534, 65534); err != nil {
				t.Fatal(err)
			}
		}, "is not a file of keepalived's"},
		{"a link to one of root's", "", no, "", func(t *testing.T, root string) {
			write(t, filepath.Join(root, "other"), "whole")
			if err := os.Symlink("../other", filepath.Join(root, shared)); err != nil {
				t.Fatal(err)
			}
		}, "too many levels of symbolic links"},
		{"another name of one of root's", "", no, "", func(t *testing.T, root string) {
			write(t, filepath.Join(root, "other"), "whole")
			if err := os.Link(filepath.Join(root, "other"), filepath.Join(root, shared)); err != nil {
				t.Fatal(err)
			}
		}, "is not a file of keepalived's"},
		{"a directory that is a link", "TMPDIR=/run/link\x00", func(t *testing.T, root string) {
			if err := os.Symlink("keepalived", filepath.Join(root, "run/link")); err != nil {
				t.Fatal(err)
			}
		}, own, no, "not a directory"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h, root := keepalived(t, test.environ)
			test.before(t, root)
			err := h.dump(7, within(dumpPatience), func() error {
				if test.writes != "" {
					write(t, filepath.Join(root, test.writes), "whole")
				}
				test.after(t, root)
				return nil
			}, func(data []byte) bool { return string(data) == "whole" })
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("%v, want %q", err, test.want)
			}
			if noAnswer := test.want == host.ErrNoAnswer.Error(); errors.Is(err, host.ErrNoAnswer) != noAnswer {
				t.Errorf("%v is taken for a keepalived that hangs", err)
			}
			if test.want == "" {
				if _, err := os.Lstat(filepath.Join(root, test.writes)); err == nil {
					t.Error("the dump was left")
				}
			}
		})
	}
}

// TestDumpForSeveral: several processes that ask keepalived at the same time all get an answer. A stopped process does not
// block the others.
func TestDumpForSeveral(t *testing.T) {
	first, root := keepalived(t, "TMPDIR=/run/keepalived\x00")
	signals := make(chan struct{}, 1) // like a real signal, a pending one is not counted twice
	ask := func() error {
		select {
		case signals <- struct{}{}:
		default:
		}
		return nil
	}
	go func() {
		for range signals {
			_ = os.WriteFile(filepath.Join(root, "run/keepalived", dumpName), []byte("whole"), 0o600)
		}
	}()
	whole := func(data []byte) bool { return string(data) == "whole" }
	var askers sync.WaitGroup
	for range 4 {
		h, _ := newFake(t)
		h.proc, h.run = first.proc, first.run
		askers.Go(func() {
			for range 25 {
				if err := h.dump(7, within(time.Minute), ask, whole); err != nil {
					t.Errorf("cannot get the state beside others: %v", err)
					return
				}
			}
		})
	}
	askers.Wait()
	defer first.askAlone(within(dumpPatience)())() // holds the lock as if stopped
	second, _ := newFake(t)
	second.proc, second.run = first.proc, first.run
	if err := second.dump(7, within(2*time.Second), ask, whole); err != nil {
		t.Errorf("cannot get the state beside one that is stopped: %v", err)
	}
}

// TestCheckDir: checked files are in a directory that other users cannot read, and remove leaves nothing of it.
func TestCheckDir(t *testing.T) {
	h, _ := newFake(t)
	h.run = filepath.Join(t.TempDir(), "rlb")
	dir, remove, err := h.checkDir()
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 || filepath.Dir(dir) != h.run {
		t.Errorf("%s: %v, %v", dir, info, err)
	}
	remove()
	if _, err := os.Lstat(h.run); err == nil {
		t.Errorf("%s was left", h.run)
	}
}

// TestRunDir: whatever makes the agent's directory under /run first, ordinary users reach the socket of the page in it. The agent's
// unit has UMask=0077.
func TestRunDir(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	h, _ := newFake(t)
	for what, do := range map[string]func() error{
		"a lock": func() error {
			unlock, err := h.Lock(t.Context(), 0)
			if err == nil {
				unlock()
			}
			return err
		},
		"a check": func() error {
			_, remove, err := h.checkDir()
			if err == nil {
				err = os.WriteFile(filepath.Join(h.run, "status.json"), nil, 0o644)
				remove()
			}
			return err
		},
	} {
		h.run = filepath.Join(t.TempDir(), "rlb")
		if err := do(); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(h.run); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("after %s: %v, %v", what, info, err)
		}
	}
}
