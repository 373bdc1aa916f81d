package debian

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lockName, below host.RunDir, is locked by the process that changes the host. The lock ends with its holder; the file stays.
const lockName = "lock"

// Lock makes this process the only one that changes the host, until unlock is called. It waits up to timeout for another
// holder; the error after that names the holder.
func (h *Host) Lock(ctx context.Context, timeout time.Duration) (unlock func(), err error) {
	path := filepath.Join(h.run, lockName)
	var file *os.File
	for deadline := time.Now().Add(timeout); ; {
		if err := makeDirs(h.run); err != nil { // a teardown removes it
			return nil, fmt.Errorf("cannot lock %s: %w", path, err)
		}
		if file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
			return nil, fmt.Errorf("cannot lock %s: %w", path, err)
		}
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil && inPlace(file, path) {
			break
		}
		file.Close()
		if err != nil && !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("cannot lock %s: %w", path, err)
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			holder, _ := os.ReadFile(path)
			return nil, fmt.Errorf("cannot change this host while another rlb-agent does: %s", strings.TrimSpace(string(holder)))
		}
		time.Sleep(50 * time.Millisecond)
	}
	// only for the text of an error: a holder that dies leaves the text, but not the lock
	if err := file.Truncate(0); err == nil {
		fmt.Fprintf(file, "process %d (%s)\n", os.Getpid(), strings.Join(os.Args, " "))
	}
	return func() { file.Close() }, nil
}

// dpkgLock is locked by a program that uses apt or dpkg.
const dpkgLock = "/var/lib/dpkg/lock-frontend"

// Installing says whether another program is using apt or dpkg now. That program will complete half-done installations.
func (h *Host) Installing() bool {
	file, err := os.Open(dpkgLock)
	if err != nil {
		return false
	}
	defer file.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	return unix.FcntlFlock(file.Fd(), unix.F_GETLK, &lock) == nil && lock.Type != unix.F_UNLCK
}

// inPlace says whether the locked file is still the one at its path: a teardown removes the file.
func inPlace(file *os.File, path string) bool {
	mine, err := file.Stat()
	if err != nil {
		return false
	}
	theirs, err := os.Stat(path)
	return err == nil && os.SameFile(mine, theirs)
}
