package debian

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian/program"
	"rlb.dev/rlb-agent/reconcile/host/debian/program/recorded"
	"rlb.dev/rlb-agent/reconcile/host/patience"
)

// hung makes a host with a hung keepalived, which is a stopped process with this environment. It writes its state below
// root.
func hung(t *testing.T, environ string) (h *Host, pid int, root string) {
	t.Helper()
	h, root = keepalived(t, environ)
	asked, _ := newFake(t, recorded.Answer{Words: "keepalived --signum=JSON", Out: program.Output{Stdout: "36\n"}})
	h.programs = asked.programs
	sleep := exec.Command("sleep", "1h")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	pid = sleep.Process.Pid
	t.Cleanup(func() { _ = errors.Join(sleep.Process.Kill(), sleep.Wait()) })
	if err := sleep.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(h.proc, "7"), filepath.Join(h.proc, strconv.Itoa(pid))); err != nil {
		t.Fatal(err)
	}
	return h, pid, root
}

// TestVRRPBesideAnother: VRRPAtOnce detects a hung keepalived quickly, although another query with a longer limit has just
// begun.
func TestVRRPBesideAnother(t *testing.T) {
	h, pid, root := hung(t, "")
	ended := make(chan error)
	go func() {
		_, err := h.vrrp(t.Context(), pid, within(time.Hour))
		ended <- err
	}()
	for h.silence.Load() == nil {
		time.Sleep(time.Millisecond)
	}
	if _, err := h.VRRPAtOnce(t.Context(), pid); !errors.Is(err, host.ErrNoAnswer) {
		t.Errorf("%v", err)
	}
	write(t, filepath.Join(root, "tmp", dumpName), `[{"data": {"iname": "a", "state": 2}}]`)
	if err := <-ended; err != nil {
		t.Errorf("the other question: %v", err)
	}
	if h.silence.Load() != nil {
		t.Error("a question that is over is silence")
	}
}

// TestVRRPInTheWay: a keepalived whose state file is blocked by another user does not count as hung.
func TestVRRPInTheWay(t *testing.T) {
	for environ, inTheWay := range map[string]func(root string) error{
		"":                     func(root string) error { return os.MkdirAll(filepath.Join(root, "tmp", dumpName, "x"), 0o755) },
		"TMPDIR=/run/link\x00": func(root string) error { return os.Symlink("keepalived", filepath.Join(root, "run/link")) },
	} {
		h, pid, root := hung(t, environ)
		if err := inTheWay(root); err != nil {
			t.Fatal(err)
		}
		h.vrrpMutex.Lock()
		go func() {
			defer h.vrrpMutex.Unlock()
			_ = h.dump(pid, within(3*patience.Hasty), func() error { return nil }, func([]byte) bool { return false })
		}()
		if _, err := h.VRRPAtOnce(t.Context(), pid); err == nil || errors.Is(err, host.ErrNoAnswer) {
			t.Errorf("%q: %v", environ, err)
		}
	}
}

// TestTakeTurn: silence to another query counts while the checks for its answer are on time.
func TestTakeTurn(t *testing.T) {
	const pid, end = 7, 2 * time.Second // of the other queries
	for name, test := range map[string]struct {
		pid    int
		look   time.Duration // interval of the checks
		each   time.Duration // duration of one query
		within time.Duration // 0: takeTurn gets its turn
	}{
		"silent":              {pid, patience.Tick, end, patience.Hasty + 3*patience.Tick},
		"another keepalived":  {pid + 1, patience.Tick, end, 0},
		"a busy machine":      {pid, 50 * time.Millisecond, end, 0},
		"one after the other": {pid, patience.Tick, 100 * time.Millisecond, 0},
		"it is not asked yet": {pid, end, end, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, began, over := new(Host), time.Now(), make(chan struct{})
				h.vrrpMutex.Lock()
				go func() {
					defer close(over)
					defer h.vrrpMutex.Unlock()
					for time.Since(began) < end {
						time.Sleep(test.look)
						now := time.Now()
						h.silence.Store(&silence{test.pid, began.Add(now.Sub(began).Truncate(test.each)), now})
					}
				}()
				err := h.takeTurn(pid, func() func(time.Time) bool { return patience.New(time.Now(), patience.Hasty).Over })
				took := time.Since(began)
				<-over
				if test.within == 0 && (err != nil || took < end) || test.within > 0 && (!errors.Is(err, host.ErrNoAnswer) || took > test.within) {
					t.Errorf("after %v: %v", took, err)
				}
			})
		})
	}
}
