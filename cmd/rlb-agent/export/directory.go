package export

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// directory is an open directory. Its files are reached through it, not through its path, which may lead elsewhere a
// moment later.
type directory struct {
	*os.File
	path string
	stat unix.Stat_t
}

// openDirectory opens a directory whose path only root, or the user that the agent runs as, can lead elsewhere. Links
// are followed one by one, as the kernel does (path_resolution(7)). The directory itself may be another user's.
func openDirectory(path string) (*directory, error) {
	at, err := openAt(nil, "/")
	if err != nil {
		return nil, err
	}
	rest := strings.Split(path, "/")
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		if name == "" || name == "." {
			continue
		}
		next, target, err := at.enter(name)
		switch {
		case err != nil:
			at.Close() //nolint:errcheck // nothing was written
			return nil, err
		case next != nil:
			at.Close() //nolint:errcheck // nothing was written
			at = next
			continue
		}
		if links++; links > maxLinks {
			at.Close() //nolint:errcheck // nothing was written
			return nil, fmt.Errorf("%s: %w", path, unix.ELOOP)
		}
		if filepath.IsAbs(target) {
			at.Close() //nolint:errcheck // nothing was written
			if at, err = openAt(nil, "/"); err != nil {
				return nil, err
			}
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return at, nil
}

// maxLinks is how many links a path may lead through, as in the kernel.
const maxLinks = 40

// enter opens a directory in this one, or says where a link in it leads.
func (d *directory) enter(name string) (next *directory, target string, err error) {
	if err := d.trusted(true); err != nil {
		return nil, "", err
	}
	if next, err = openAt(d, name); err != nil {
		return nil, "", err
	}
	if next.stat.Mode&unix.S_IFMT != unix.S_IFLNK {
		return next, "", nil
	}
	defer next.Close() //nolint:errcheck // nothing was written
	if !own(next.stat.Uid) {
		return nil, "", fmt.Errorf("the link %s belongs to user %d, who may lead it elsewhere", next.path, next.stat.Uid)
	}
	buffer := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(next.Fd()), "", buffer)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", next.path, err)
	}
	return nil, string(buffer[:n]), nil
}

// openAt opens a directory or a link in d, without following it; in no directory, an absolute path.
func openAt(d *directory, name string) (*directory, error) {
	at, path := unix.AT_FDCWD, name
	if d != nil {
		at, path = int(d.Fd()), filepath.Join(d.path, name)
	}
	fd, err := unix.Openat(at, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	next := &directory{File: os.NewFile(uintptr(fd), path), path: path}
	if err = unix.Fstat(fd, &next.stat); err == nil && next.stat.Mode&unix.S_IFMT != unix.S_IFDIR && next.stat.Mode&unix.S_IFMT != unix.S_IFLNK {
		err = unix.ENOTDIR
	}
	if err != nil {
		next.Close() //nolint:errcheck // nothing was written
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return next, nil
}

// trusted is nil where nobody but root, or the user that the agent runs as, can replace what these users have in the
// directory. With sticky, one in which everybody may make files of his own (the sticky bit, inode(7)) will do.
func (d *directory) trusted(sticky bool) error {
	switch {
	case !own(d.stat.Uid):
		return fmt.Errorf("%s belongs to user %d, who may replace what is in it", d.path, d.stat.Uid)
	case d.stat.Mode&0o022 != 0 && !(sticky && d.stat.Mode&unix.S_ISVTX != 0):
		return fmt.Errorf("others than root may replace what is in %s (mode %04o)", d.path, d.stat.Mode&0o7777)
	}
	return nil
}

func own(uid uint32) bool { return uid == 0 || int(uid) == os.Geteuid() }

// at is a path of a file in the directory that leads to no other directory (proc_pid_fd(5)).
func (d *directory) at(name string) string { return fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), name) }

// remove removes a file in the directory, if it is there.
func (d *directory) remove(name string) error {
	if err := os.Remove(d.at(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
