package debian

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestLockAfterATeardown: a process that waits for the lock gets it after a teardown, which removes the directory too.
func TestLockAfterATeardown(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "rlb")
	h := &Host{run: dir}
	teardown, err := h.Lock(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Lock(t.Context(), 0); err == nil {
		t.Fatal("two processes have the lock")
	}
	got := make(chan error)
	go func() {
		unlock, err := h.Lock(t.Context(), 10*time.Second)
		if err == nil {
			unlock()
		}
		got <- err
	}()
	time.Sleep(100 * time.Millisecond)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	teardown()
	if err := <-got; err != nil {
		t.Error(err)
	}
}
