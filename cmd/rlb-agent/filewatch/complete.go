package filewatch

import (
	"os"

	"golang.org/x/sys/unix"
)

// Complete says whether nobody has the file open for writing, so that whoever wrote or renamed it has ended. It is false
// where the file is not there, and where the filesystem does not tell: NFS and FUSE do not.
//
// A lease for reading is given only on such a file (fcntl(2), F_SETLEASE). It is given back at once; who opens the file
// for writing meanwhile waits for that.
func Complete(path string) bool {
	f, err := os.Open(path)
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
