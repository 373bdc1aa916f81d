package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"rlb.dev/rlb-agent/reconcile"
)

// lockPath is locked by whoever changes the host. The lock dies with its holder; the file stays.
const lockPath = reconcile.RunDir + "/lock"

// Lock makes this process the only one that changes the host, until unlock is called. It waits for another holder;
// the error after the timeout names it.
func (h *Host) Lock(ctx context.Context, timeout time.Duration) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(lockPath), 0o755); err != nil {
		return nil, fmt.Errorf("cannot lock %s: %w", lockPath, err)
	}
	file, err := os.OpenFile(lockPath, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock %s: %w", lockPath, err)
	}
	for deadline := time.Now().Add(timeout); ; {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			file.Close()
			return nil, fmt.Errorf("cannot lock %s: %w", lockPath, err)
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			file.Close()
			holder, _ := os.ReadFile(lockPath)
			return nil, fmt.Errorf("cannot change this host while another rlb-agent does: %s", strings.TrimSpace(string(holder)))
		}
		time.Sleep(50 * time.Millisecond)
	}
	// for the reader of an error, not for the lock: a holder that dies leaves the text, and the lock is free
	if err := file.Truncate(0); err == nil {
		fmt.Fprintf(file, "process %d (%s)\n", os.Getpid(), strings.Join(os.Args, " "))
	}
	return func() { file.Close() }, nil
}
