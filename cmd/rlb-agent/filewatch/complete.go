package filewatch

import (
	"os"

	"golang.org/x/sys/unix"
)

// Complete reports whether no process has the file open for writing: a write or a rename has ended. It is false for a
// file that does not exist, and on filesystems without leases, such as NFS and FUSE.
//
// The kernel grants a read lease only on such a file (fcntl(2), F_SETLEASE). Complete releases it at once; a process
// that opens the file for writing meanwhile waits for the release.
func Complete(path string) bool {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // opening a FIFO must not block
	if err != nil {
		return false
	}
	defer f.Close()
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK); err != nil {
		return false
	}
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	return err == nil
}
