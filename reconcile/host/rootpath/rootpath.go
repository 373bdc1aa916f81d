// Package rootpath follows paths that root can use safely, because only root can change what they lead to. A user who can
// write to a directory on the way, or who owns a link, could redirect what root reads, writes or runs.
//
// Links are followed one by one, as the kernel does (path_resolution(7)). Each directory, the links in it and, if it is
// read or run, the file must belong to root and must not be writable by group or others. A sticky directory (/tmp) is no
// exception. So only root can change the result afterwards, and a resolved path can be used by its name. Only Directory
// enters directories of another user, and does not leave what that user may write anyway.
package rootpath

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A Walker follows paths. The zero value requires root as the owner.
type Walker struct {
	top   string // trusted without checks; "" means "/", which is checked
	owner uint32
}

// Within returns a Walker for tests: the current user takes the place of root, and the path of the directory itself is
// trusted.
func Within(dir string) Walker { return Walker{top: dir, owner: uint32(os.Geteuid())} }

// Error says which other users can change what a path leads to, and how to fix that.
type Error struct{ text string }

// Error returns a text for the administrator: "others than root may write /srv/spec.yaml (chmod go-w /srv/spec.yaml)".
func (e *Error) Error() string { return e.text }

// Resolve returns the path of a file without symbolic links, to replace or remove the file. The file, and directories at
// the end of the path, need not exist; the file itself can belong to another user. Errors: *Error, *fs.PathError.
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

// Directory opens a directory (O_PATH), to create and replace files in it by this descriptor without reading any.
//
// Any user may own the directory. A directory above it may belong to one other user, such as /var/lib/prometheus of Debian's
// node exporter, but must not be writable by group or others. That user can rename entries of it and put links in their
// place. So from there on no link and no ".." is followed, and the result is below that user's directory.
// Errors: *Error, *fs.PathError.
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

// Check returns nil if a file or directory exists and only root can change it. This also holds for a program that opens the
// path later. Errors: *Error, *fs.PathError.
func (w Walker) Check(path string) error {
	found, err := w.find(path)
	if err != nil {
		return err
	}
	found.close()
	return nil
}

// Open opens for reading exactly the file that it checked. Errors: *Error, *fs.PathError.
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

// find is like walk, but the file must exist and only root may change it.
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

// owned returns nil if only root can change a place.
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

// advice says how to make a place writable by root only. A directory of another user, or a shared one like /tmp (sticky),
// stays as it is, because other users need it so.
func (w Walker) advice(p *place, command string) string {
	if p.kind() == unix.S_IFDIR && (p.stat.Uid != w.owner || p.stat.Mode&unix.S_ISVTX != 0) {
		return "move the file to a directory that only root may write"
	}
	return command + " " + p.path
}

// Below opens a directory below another one. It follows no links, and any user may own the directories. With make it makes
// the directories that are missing. It does not use openat2(2), which a unit with RestrictSUIDSGID= must not call. Errors:
// *fs.PathError.
func Below(dir, path string, make bool) (*os.File, error) {
	at, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	for _, name := range strings.Split(strings.Trim(path, "/"), "/") {
		if err != nil {
			break
		}
		if make {
			_ = unix.Mkdirat(at, name, 0o755) // an error shows below
		}
		from := at
		at, err = unix.Openat(from, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		_ = unix.Close(from) // nothing was written
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(at), path), nil
}

// begin opens the start of an absolute path, and returns the remaining names.
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

// maxLinks is the most symbolic links in a path, as in the kernel.
const maxLinks = 40

// walk follows a path. Only root can change where it leads, but the file there can belong to another user. With through,
// the path may lead through directories of another user, who can change where it leads below them. found is nil if the path
// leads to nothing yet.
func (w Walker) walk(path string, through bool) (found *place, resolved string, err error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, "", err
	}
	if !filepath.IsAbs(path) {
		path = abs // a working directory without links has no ".."
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
