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

// maxFile is the size of the largest file that File reads.
const maxFile = 16 << 20

// File is the state of a file; a symbolic link is followed.
func (h *Host) File(ctx context.Context, path string) (host.File, error) {
	if err := ctx.Err(); err != nil {
		return host.File{}, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a fifo must not hold us
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
	data.Grow(int(min(fi.Size(), maxFile)) + bytes.MinRead) // one read then finds all of it, and the next one its end
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

// WriteFile replaces a file atomically and durably. Where the path is a symbolic link, the file that it names is
// replaced and the link stays. A file that is like that already is not touched. Nobody but root may be able to lead the
// path elsewhere.
func (h *Host) WriteFile(ctx context.Context, path string, data []byte, mode fs.FileMode, uid, gid int) error {
	return h.effect.Tearable("WriteFile "+path, func() error { return tear(path, data) }, func() error {
		return h.writeFile(ctx, path, data, mode, uid, gid)
	})
}

// tear leaves what a crash in the middle of WriteFile does: half of the content in a temporary file.
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
	sweep(target) // before the shortcut: a crash may have come after the rename of another file
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

// replace writes a file by way of a temporary one, which it locks against the sweep of another process of the agent. Where
// that comes before the lock or behind it, it makes another one.
func replace(dir, target string, data []byte, mode fs.FileMode, uid, gid int) (err error) {
	for range sweptTries {
		if err = replaceOnce(dir, target, data, mode, uid, gid); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return err
}

// sweptTries bounds how often a file is written that is swept away each time.
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
	_ = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) // a user who may read the file may have locked it: then it may be swept
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

// RootOnly is nil where nobody but root can change what a path leads to.
func (h *Host) RootOnly(ctx context.Context, path string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return refined(h.paths.Check(path))
}

// RemoveFile removes a file; where the path is a symbolic link, the link.
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
		path = dir // a drop-in's directory without any other is nothing
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return wrap("remove "+path, cause(err))
	}
	return nil
}

// sweep removes the temporary files that crashes left beside a file, and that no process is writing. Errors do not matter:
// such a file is harmless, since no program reads names that begin with a dot and end in a number.
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

// makeDirs makes the directories of a path that are missing, 0755 whatever our umask is, and durable.
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
		if errors.Is(err, fs.ErrExist) { // somebody was faster
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

// cause is an error without the path that our own sentence names already.
func cause(err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err
	}
	return err
}

// RemoveTree removes a directory below one of the agent's own, or one of those themselves.
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
