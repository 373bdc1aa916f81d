package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"

	"rlb.dev/rlb-agent/reconcile/host"
)

// maxFile is the size of the largest file that File reads. The status of a host with 100,000 servers has 26 MB.
const maxFile = 64 << 20

// File returns the state of a file. It follows a symbolic link.
func (h *Host) File(ctx context.Context, path string) (host.File, error) {
	if err := ctx.Err(); err != nil {
		return host.File{}, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // opening a fifo must not block
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return host.File{Path: path}, nil
	}
	if err != nil {
		return host.File{}, wrap("read "+path, cause(err))
	}
	defer f.Close() //nolint:errcheck // nothing was written

	fi, err := f.Stat()
	if err != nil {
		return host.File{}, wrap("read "+path, cause(err))
	}
	if !fi.Mode().IsRegular() {
		return host.File{}, fmt.Errorf("cannot read %s: not a regular file", path)
	}
	var data bytes.Buffer
	data.Grow(int(min(fi.Size(), maxFile)) + bytes.MinRead) // so one read gets all of it, and the next one finds its end
	if _, err := data.ReadFrom(io.LimitReader(f, maxFile+1)); err != nil {
		return host.File{}, wrap("read "+path, cause(err))
	}
	if data.Len() > maxFile {
		return host.File{}, fmt.Errorf("cannot read %s: larger than %d MiB", path, maxFile>>20)
	}
	file := host.File{Path: path, Exists: true, Data: data.Bytes(), Mode: fi.Mode().Perm(), Changed: fi.ModTime()}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		file.UID, file.GID = int(st.Uid), int(st.Gid)
	}
	return file, nil
}

// WriteFile replaces a file atomically and durably. If the path is a symbolic link, WriteFile replaces the target and keeps
// the link. It does not touch a file that is already as requested. Only root may be able to change where the path leads.
func (h *Host) WriteFile(ctx context.Context, path string, data []byte, mode fs.FileMode, uid, gid int) error {
	return h.effect.Tearable("WriteFile "+path, func() error { return tear(path, data) }, func() error {
		return h.writeFile(ctx, path, data, mode, uid, gid)
	})
}

// tear leaves the same as a crash in the middle of WriteFile: half of the content in a temporary file.
func tear(path string, data []byte) error {
	if err := makeDirs(filepath.Dir(path)); err != nil {
		return err
	}
	name := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"1234567890")
	return os.WriteFile(name, data[:len(data)/2], 0o600)
}

func (h *Host) writeFile(ctx context.Context, path string, data []byte, mode fs.FileMode, uid, gid int) error {
	do := "write " + path
	target, err := h.paths.Resolve(path)
	if err != nil {
		return wrap(do, cause(err))
	}
	sweep(target) // before the early return: a crash can have come after the rename of another file
	now, err := h.File(ctx, target)
	if err != nil && !errors.Is(err, host.ErrUnavailable) {
		return wrap(do, err)
	}
	if err == nil && now.Exists && bytes.Equal(now.Data, data) && now.Mode == mode.Perm() && now.UID == uid && now.GID == gid {
		return nil
	}
	dir := filepath.Dir(target)
	if err := makeDirs(dir); err != nil {
		return wrap(do, cause(err))
	}
	if err := replace(dir, target, data, mode.Perm(), uid, gid); err != nil {
		return wrap(do, cause(err))
	}
	return nil
}

// replace writes a file through a temporary file, which it locks against the sweep of another process of the agent. If that
// sweep is faster than the lock and removes the file, replace makes another one.
func replace(dir, target string, data []byte, mode fs.FileMode, uid, gid int) (err error) {
	for range sweptTries {
		if err = replaceOnce(dir, target, data, mode, uid, gid); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return err
}

// sweptTries is how often replace tries again after its temporary file was swept away.
const sweptTries = 10

func replaceOnce(dir, target string, data []byte, mode fs.FileMode, uid, gid int) (err error) {
	f, err := renameio.NewPendingFile(target, renameio.WithTempDir(dir), renameio.WithStaticPermissions(mode))
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Cleanup())
		}
	}()
	_ = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) // fails if a user who may read the file has locked it
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Chown(uid, gid); err != nil {
		return err
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		return err
	}
	return syncDir(dir)
}

// RootOnly returns nil if only root can change what a path leads to.
func (h *Host) RootOnly(ctx context.Context, path string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return refined(h.paths.Check(path))
}

// RemoveFile removes a file. If the path is a symbolic link, it removes the link.
func (h *Host) RemoveFile(ctx context.Context, path string) error {
	return h.effect.Do("RemoveFile "+path, func() error { return h.removeFile(ctx, path) })
}

func (h *Host) removeFile(ctx context.Context, path string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if fi, err := os.Lstat(path); err == nil && fi.IsDir() {
		return fmt.Errorf("cannot remove %s: a directory", path)
	}
	dir, err := h.paths.Resolve(filepath.Dir(path))
	if err == nil {
		path = filepath.Join(dir, filepath.Base(path))
		sweep(path)
		err = os.Remove(path)
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if dir := filepath.Dir(path); err == nil && strings.HasSuffix(dir, ".service.d") && os.Remove(dir) == nil {
		path = dir // remove an empty drop-in directory too
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return wrap("remove "+path, cause(err))
	}
	return nil
}

// sweep removes temporary files that crashes left beside a file and that no process is writing. It ignores errors: such a
// file is harmless, because no program reads names that begin with a dot and end in a number.
func sweep(path string) {
	dir, prefix := filepath.Dir(path), "."+filepath.Base(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), prefix)
		if ok && len(number) >= 10 && strings.Trim(number, "0123456789") == "" && e.Type().IsRegular() {
			removeUnlocked(filepath.Join(dir, e.Name()))
		}
	}
}

// removeUnlocked removes a file that no process has locked.
func removeUnlocked(path string) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer f.Close() //nolint:errcheck // nothing was written
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
		_ = os.Remove(path)
	}
}

// makeDirs durably creates the missing directories of a path, with mode 0755 whatever the umask.
func makeDirs(dir string) error {
	fi, err := os.Stat(dir)
	if err == nil {
		if !fi.IsDir() {
			return syscall.ENOTDIR
		}
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if err := makeDirs(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) { // another program was faster
			return nil
		}
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	return syncDir(parent)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// cause returns an error without the path that the caller's message already contains.
func cause(err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err
	}
	return err
}

// RemoveTree removes one of the agent's own directories, or a directory below one.
func (h *Host) RemoveTree(_ context.Context, path string) error {
	return h.effect.Do("RemoveTree "+path, func() error { return removeTree(path) })
}

func removeTree(path string) error {
	do := "remove " + path
	ours := slices.ContainsFunc([]string{host.StateDir, host.RunDir}, func(dir string) bool {
		return path == dir || strings.HasPrefix(path, dir+"/")
	})
	if !ours || filepath.Clean(path) != path {
		return fmt.Errorf("cannot %s: it is not the agent's", do)
	}
	if err := os.RemoveAll(path); err != nil {
		return wrap(do, cause(err))
	}
	return nil
}
