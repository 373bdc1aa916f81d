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
	var file *os.File
	for deadline := time.Now().Add(timeout); ; {
		if file, err = os.OpenFile(lockPath, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
			return nil, fmt.Errorf("cannot lock %s: %w", lockPath, err)
		}
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil && inPlace(file) {
			break
		}
		file.Close()
		if err != nil && !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("cannot lock %s: %w", lockPath, err)
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
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

// inPlace says whether the file that was locked is the one that others would open: a teardown removes it.
func inPlace(file *os.File) bool {
	mine, err := file.Stat()
	if err != nil {
		return false
	}
	theirs, err := os.Stat(lockPath)
	return err == nil && os.SameFile(mine, theirs)
}
