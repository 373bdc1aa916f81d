package debian

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// TestSuspendAndAwaitChildEnd: suspended processes do nothing, and the end of a child is reported.
func TestSuspendAndAwaitChildEnd(t *testing.T) {
	h, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.AwaitChildEnd(t.Context(), 1<<30, func() {}); err == nil {
		t.Error("waits for the child of nobody")
	}
	shell := exec.Command("sh", "-c", "sleep 1 & sleep 3 & wait")
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = shell.Process.Kill(); _ = shell.Wait() }()
	pid := shell.Process.Pid
	var children []int
	for began := time.Now(); len(children) < 2 && time.Since(began) < 10*time.Second; {
		if children, err = h.children(pid); err != nil {
			t.Fatal(err)
		}
	}
	state := func(pid int) string {
		if fields := procStat(filepath.Join(h.proc, strconv.Itoa(pid), "stat")); len(fields) > 0 {
			return fields[0]
		}
		return ""
	}
	stopped := func(want bool) {
		t.Helper()
		for _, p := range append(children, pid) {
			for began := time.Now(); (state(p) == "T") != want; time.Sleep(time.Millisecond) {
				if time.Since(began) > 5*time.Second {
					t.Fatalf("process %d is %q", p, state(p))
				}
			}
		}
	}
	if err := h.Suspend(pid); err != nil {
		t.Fatal(err)
	}
	stopped(true)
	if err := h.Resume(pid); err != nil {
		t.Fatal(err)
	}
	stopped(false)
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := h.AwaitChildEnd(short, pid, func() { t.Error("a child has ended early") }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it waits on: %v", err)
	}
	called := false
	if err := h.AwaitChildEnd(t.Context(), pid, func() { called = true }); err != nil || !called {
		t.Errorf("called %t, %v", called, err)
	}
	if err := h.Suspend(1 << 30); err != nil {
		t.Errorf("one that has ended: %v", err)
	}
}
