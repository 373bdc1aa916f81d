package lab

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestLockSaysThatItWaits: waiting for the lock of another process is logged once.
func TestLockSaysThatItWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	var said []string
	log := func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	unlock, err := lockFile(t.Context(), path, log)
	if err != nil || len(said) > 0 {
		t.Fatalf("%v, it said %q", err, said)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := lockFile(ctx, path, log); !errors.Is(err, context.DeadlineExceeded) || len(said) != 1 || !strings.Contains(said[0], "waiting for "+path) {
		t.Errorf("%v, it said %q", err, said)
	}
	unlock()
	if unlock, err = lockFile(t.Context(), path, log); err != nil {
		t.Fatal(err)
	}
	unlock()
}
