package rootpath

import (
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// place is a file, directory or symbolic link that is held open (O_PATH), so it cannot be replaced between two checks.
type place struct {
	fd   int
	path string // without symbolic links
	stat unix.Stat_t
}

func newPlace(fd int, path string) (*place, error) {
	p := &place{fd: fd, path: path}
	if err := unix.Fstat(fd, &p.stat); err != nil {
		p.close()
		return nil, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return p, nil
}

func (p *place) close() { _ = unix.Close(p.fd) } // nothing was written

func (p *place) kind() uint32 { return p.stat.Mode & unix.S_IFMT }

// enter opens a name in a directory without following a symbolic link. ".." is the directory's parent: the walk followed
// each link by itself, so no link is left on the way. The error is a bare errno.
func (p *place) enter(name string) (*place, error) {
	fd, err := unix.Openat(p.fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(p.path, name)
	return newPlace(fd, path)
}

// target returns the target of a symbolic link.
func (p *place) target() (string, error) {
	buffer := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(p.fd, "", buffer)
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: p.path, Err: err}
	}
	return string(buffer[:n]), nil
}
