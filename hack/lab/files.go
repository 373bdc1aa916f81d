package lab

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// WriteFile writes a file on the host, and makes its directories. The file is replaced in one step, so that no
// reader sees half of it.
func (h *Host) WriteFile(name string, data []byte, mode fs.FileMode) error {
	if err := writeFile(h.view(), File{Path: name, Data: data, Mode: mode}); err != nil {
		return fmt.Errorf("cannot write on %s: %w", h.name, err)
	}
	return nil
}

// ReadFile reads a file of the host.
func (h *Host) ReadFile(name string) ([]byte, error) {
	fd, err := openIn(h.view(), name, unix.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("cannot read on %s: %w", h.name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	return io.ReadAll(f)
}

// CopyIn copies a file of the machine into the host.
func (h *Host) CopyIn(src, dst string, mode fs.FileMode) error {
	data, err := os.ReadFile(src)
	if err != nil {
		return fmt.Errorf("cannot copy to %s: %w", h.name, err)
	}
	return h.WriteFile(dst, data, mode)
}

// view is the path of the host's root as its processes see it, with /run and all other mounts; while it is down,
// of its disk.
func (h *Host) view() string {
	if pid := h.Pid(); pid != 0 {
		return "/proc/" + strconv.Itoa(pid) + "/root"
	}
	return h.root()
}

// openIn opens a path below root as if root were /, so that a link inside cannot lead out to the machine.
func openIn(root, name string, flags int) (int, error) {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: root, Err: err}
	}
	defer unix.Close(dir)
	fd, err := unix.Openat2(dir, name, &unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: unix.RESOLVE_IN_ROOT})
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return fd, nil
}

func writeFile(root string, f File) error {
	parent, base := path.Split(path.Clean("/" + f.Path))
	dir, err := makeDirs(root, parent)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	mode := f.Mode.Perm()
	if mode == 0 {
		mode = 0o644
	}
	temp := "." + base + ".lab"
	_ = unix.Unlinkat(dir, temp, 0)
	fd, err := unix.Openat(dir, temp, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, uint32(mode))
	if err != nil {
		return &fs.PathError{Op: "create", Path: f.Path, Err: err}
	}
	file := os.NewFile(uintptr(fd), f.Path)
	_, err = file.Write(f.Data)
	if err == nil {
		err = file.Chmod(mode) // regardless of the umask
	}
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = unix.Renameat(dir, temp, dir, base)
	}
	if err != nil {
		_ = unix.Unlinkat(dir, temp, 0)
		return fmt.Errorf("cannot write %s: %w", f.Path, err)
	}
	return nil
}

// makeDirs opens a directory below root, and makes missing ones.
func makeDirs(root, name string) (int, error) {
	at := "/"
	fd, err := openIn(root, at, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return -1, err
	}
	for part := range strings.SplitSeq(strings.Trim(name, "/"), "/") {
		if part == "" {
			continue
		}
		if err := unix.Mkdirat(fd, part, 0o755); err != nil && err != unix.EEXIST {
			unix.Close(fd)
			return -1, &fs.PathError{Op: "mkdir", Path: path.Join(at, part), Err: err}
		}
		at = path.Join(at, part)
		unix.Close(fd)
		if fd, err = openIn(root, at, unix.O_RDONLY|unix.O_DIRECTORY); err != nil {
			return -1, err
		}
	}
	return fd, nil
}
