// Package rootpath follows paths on which root may act: only root can change what they lead to. Who may write a
// directory on the way, or owns a link, could lead root's reading, writing or running elsewhere.
//
// Links are followed one by one, as the kernel does (path_resolution(7)). Each directory, the links in it and, where it
// is read or run, the file must be root's and not be writable by group or others; a sticky directory (/tmp) is no
// exception. So nobody but root can change afterwards what was found, and a resolved path may be used by its name. Only
// Directory enters directories of another user, and stays in what that user may write anyway.
package rootpath

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A Walker follows paths. The zero value is for root.
type Walker struct {
	top   string // taken as it is; "" is "/", which is looked at
	owner uint32
}

// Within is a Walker for tests: the present user is its root, and a directory's own path is taken as it is.
func Within(dir string) Walker { return Walker{top: dir, owner: uint32(os.Geteuid())} }

// Error says who else may change what a path leads to, and how to fix that.
type Error struct{ text string }

// Error is for people: "others than root may write /srv/spec.yaml (chmod go-w /srv/spec.yaml)".
func (e *Error) Error() string { return e.text }

// Resolve is the path of a file without links, for one who replaces or removes it. The file, and directories at the end
// of the path, need not exist; the file itself may be another user's. Errors: *Error, *fs.PathError.
func (w Walker) Resolve(path string) (string, error) {
	found, resolved, err := w.walk(path, false)
	if found != nil {
		if found.kind() == unix.S_IFDIR {
			err = w.owned(found)
		}
		found.close()
	}
	if err != nil {
		return "", err
	}
	return resolved, nil
}

// Directory opens a directory (O_PATH) for one who makes and replaces files there by this descriptor, and reads nothing.
//
// It may be anybody's. One above it may belong to another user, as /var/lib/prometheus of Debian's node exporter does, but not
// be open to group or others. That user can rename what is below it and put a link in its place: so no link and no ".." is
// followed from there on, and what is found is below that user's directory. Errors: *Error, *fs.PathError.
func (w Walker) Directory(path string) (*os.File, error) {
	found, _, err := w.walk(path, true)
	switch {
	case err != nil:
		return nil, err
	case found == nil:
		return nil, &fs.PathError{Op: "open", Path: path, Err: unix.ENOENT}
	case found.kind() != unix.S_IFDIR:
		found.close()
		return nil, &fs.PathError{Op: "open", Path: path, Err: unix.ENOTDIR}
	}
	return os.NewFile(uintptr(found.fd), found.path), nil
}

// Check is nil where a file or directory exists and only root can change it: also for a program that opens the path
// anew. Errors: *Error, *fs.PathError.
func (w Walker) Check(path string) error {
	found, err := w.find(path)
	if err != nil {
		return err
	}
	found.close()
	return nil
}

// Open opens a file for reading: the very one that was checked. Errors: *Error, *fs.PathError.
func (w Walker) Open(path string) (*os.File, error) {
	found, err := w.find(path)
	if err != nil {
		return nil, err
	}
	defer found.close()
	if found.kind() != unix.S_IFREG {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", found.fd), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// find is walk to what exists and is root's.
func (w Walker) find(path string) (*place, error) {
	found, _, err := w.walk(path, false)
	if err == nil && found == nil {
		err = &fs.PathError{Op: "open", Path: path, Err: unix.ENOENT}
	}
	if err == nil {
		err = w.owned(found)
	}
	if err != nil && found != nil {
		found.close()
		found = nil
	}
	return found, err
}

// owned is nil where only root may change a place.
func (w Walker) owned(p *place) error {
	switch link := p.kind() == unix.S_IFLNK; {
	case w.top != "" && p.path == w.top:
	case p.stat.Uid != w.owner && link:
		return &Error{fmt.Sprintf("the link %s belongs to user %d, not to root (chown -h root %s)", p.path, p.stat.Uid, p.path)}
	case p.stat.Uid != w.owner:
		return &Error{fmt.Sprintf("%s belongs to user %d, not to root (%s)", p.path, p.stat.Uid, w.advice(p, "chown root"))}
	case p.stat.Mode&0o022 != 0 && !link:
		return &Error{fmt.Sprintf("others than root may write %s (%s)", p.path, w.advice(p, "chmod go-w"))}
	}
	return nil
}

// advice is how a place becomes root's alone. A directory that is another user's, or shared like /tmp (sticky), stays as
// it is: others need it so.
func (w Walker) advice(p *place, command string) string {
	if p.kind() == unix.S_IFDIR && (p.stat.Uid != w.owner || p.stat.Mode&unix.S_ISVTX != 0) {
		return "move the file to a directory that only root may write"
	}
	return command + " " + p.path
}

// begin is where an absolute path begins, and the names that are left of it.
func (w Walker) begin(path string) (*place, []string, error) {
	top := "/"
	if below, found := strings.CutPrefix(path, w.top+"/"); w.top != "" && found {
		top, path = w.top, below
	}
	fd, err := unix.Open(top, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, &fs.PathError{Op: "open", Path: top, Err: err}
	}
	at, err := newPlace(fd, top)
	if err != nil {
		return nil, nil, err
	}
	return at, strings.Split(path, "/"), nil
}

// maxLinks is how many links a path may lead through, as in the kernel.
const maxLinks = 40

// walk follows a path. Only root can change where it leads to, or, where it may be through another user's directories, that
// user within them; what is there may be another user's. found is nil where it leads to nothing yet.
func (w Walker) walk(path string, through bool) (found *place, resolved string, err error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, "", err
	}
	if !filepath.IsAbs(path) {
		path = abs // without its links a working directory has no ".."
	}
	at, rest, err := w.begin(path)
	if err != nil {
		return nil, "", err
	}
	defer func() {
		if err != nil || found == nil {
			at.close()
		}
	}()
	var foreign error // why others than root have a say from here on
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		if name == "" || name == "." {
			continue
		}
		if at.kind() == unix.S_IFDIR {
			err := w.owned(at)
			if err != nil && !(through && at.stat.Mode&0o022 == 0) {
				return nil, "", err
			}
			if foreign == nil {
				foreign = err
			}
		}
		if name == ".." && foreign != nil {
			return nil, "", foreign
		}
		next, err := at.enter(name)
		if err == unix.ENOENT && name != ".." {
			missing := filepath.Join(append([]string{at.path, name}, rest...)...)
			for _, more := range rest {
				if more == ".." {
					return nil, "", &fs.PathError{Op: "open", Path: path, Err: unix.ENOENT}
				}
			}
			return nil, missing, nil
		}
		if err != nil {
			return nil, "", &fs.PathError{Op: "open", Path: filepath.Join(at.path, name), Err: err}
		}
		if next.kind() != unix.S_IFLNK {
			at.close()
			at = next
			continue
		}
		target, err := next.target()
		if err == nil {
			err = w.owned(next)
		}
		if foreign != nil {
			err = foreign
		}
		next.close()
		if links++; err == nil && links > maxLinks {
			err = &fs.PathError{Op: "open", Path: path, Err: unix.ELOOP}
		}
		if err != nil {
			return nil, "", err
		}
		names := strings.Split(target, "/")
		if filepath.IsAbs(target) {
			top, below, err := w.begin(target)
			if err != nil {
				return nil, "", err
			}
			at.close()
			at, names = top, below
		}
		rest = append(names, rest...)
	}
	return at, at.path, nil
}
