package debian

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian/program/recorded"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestWriteFile(t *testing.T) {
	h, _ := newFake(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "a/b/haproxy.cfg")
	uid, gid := os.Getuid(), os.Getgid()
	defer syscall.Umask(syscall.Umask(0o077)) // the umask must have no effect

	recorded.WantError(t, h.WriteFile(t.Context(), path, []byte("one\n"), 0o644, uid, gid), "")
	f, err := h.File(t.Context(), path)
	if err != nil || !f.Exists || string(f.Data) != "one\n" || f.Mode != 0o644 || f.UID != uid || f.GID != gid || time.Since(f.Changed) > time.Minute {
		t.Errorf("%+v, %v", f, err)
	}
	if fi, err := os.Stat(filepath.Dir(path)); err != nil || fi.Mode().Perm() != 0o755 {
		t.Errorf("directory: %v, %v", fi.Mode(), err)
	}

	before, _ := os.Stat(path)
	recorded.WantError(t, h.WriteFile(t.Context(), path, []byte("one\n"), 0o644, uid, gid), "")
	if after, _ := os.Stat(path); !os.SameFile(before, after) {
		t.Error("the same file was written anew")
	}
	recorded.WantError(t, h.WriteFile(t.Context(), path, []byte("one\n"), 0o600, uid, gid), "")
	if f, _ := h.File(t.Context(), path); f.Mode != 0o600 {
		t.Errorf("mode %v", f.Mode)
	}
	if got := names(t, filepath.Dir(path)); !slices.Equal(got, []string{"haproxy.cfg"}) {
		t.Errorf("left %q", got)
	}
	recorded.WantError(t, h.WriteFile(t.Context(), filepath.Join(path, "below"), nil, 0o644, uid, gid), "cannot write "+path+"/below: not a directory")
	recorded.WantError(t, h.WriteFile(t.Context(), dir, nil, 0o644, uid, gid), "cannot write "+dir+": cannot read "+dir+": not a regular file")
}

func TestWriteFileKeepsLinks(t *testing.T) {
	h, _ := newFake(t)
	dir := t.TempDir()
	for _, sub := range []string{"checkout", "etc"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "etc/haproxy.cfg")
	if err := os.Symlink("../checkout/real.cfg", link); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"first", "second"} { // the first time the link dangles
		recorded.WantError(t, h.WriteFile(t.Context(), link, []byte(text), 0o644, os.Getuid(), os.Getgid()), "")
		got, err := os.ReadFile(filepath.Join(dir, "checkout/real.cfg"))
		if target, _ := os.Readlink(link); err != nil || string(got) != text || target != "../checkout/real.cfg" {
			t.Errorf("%q, %v; link to %q", got, err, target)
		}
	}
	loop := filepath.Join(dir, "loop")
	if err := os.Symlink("loop", loop); err != nil {
		t.Fatal(err)
	}
	recorded.WantError(t, h.WriteFile(t.Context(), loop, nil, 0o644, 0, 0), "cannot write "+loop+": too many levels of symbolic links")
}

func TestCrashLeftoversAreSwept(t *testing.T) {
	h, _ := newFake(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "haproxy.cfg")
	keep := []string{".haproxy.cfg.swp", ".haproxy.cfg1", ".haproxy.cfg1234567890.bak", "haproxy.cfg1234567890123"}
	for _, name := range append(keep, ".haproxy.cfg1234567890123", ".haproxy.cfg8674665223082153551") {
		write(t, filepath.Join(dir, name), "half")
	}
	recorded.WantError(t, h.WriteFile(t.Context(), path, []byte("whole"), 0o644, os.Getuid(), os.Getgid()), "")
	want := slices.Sorted(slices.Values(append(keep, "haproxy.cfg")))
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("left %q", got)
	}
}

// TestTwoWriteOneFile: two processes of the agent write one file, although they sweep each other's temporary files.
func TestTwoWriteOneFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "status.json")
	var writers sync.WaitGroup
	for _, writer := range []string{"daemon", "drain"} {
		h, _ := newFake(t)
		writers.Go(func() {
			for i := range 200 {
				if err := h.WriteFile(t.Context(), path, fmt.Appendf(nil, "%s %d", writer, i), 0o644, os.Getuid(), os.Getgid()); err != nil {
					t.Errorf("%s, %d: %v", writer, i, err)
					return
				}
			}
		})
	}
	writers.Wait()
}

func TestFile(t *testing.T) {
	h, _ := newFake(t)
	dir := t.TempDir()
	for _, path := range []string{filepath.Join(dir, "no"), filepath.Join(dir, "file/below")} {
		write(t, filepath.Join(dir, "file"), "x")
		if f, err := h.File(t.Context(), path); err != nil || f.Exists || f.Path != path {
			t.Errorf("%s: %+v, %v", path, f, err)
		}
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := h.File(t.Context(), fifo)
	recorded.WantError(t, err, "cannot read "+fifo+": not a regular file")

	large := filepath.Join(dir, "large")
	write(t, large, strings.Repeat("x", maxFile+1))
	_, err = h.File(t.Context(), large)
	recorded.WantError(t, err, "cannot read "+large+": larger than 64 MiB")
	const ofMostServers = 26 << 20 // the status of a host with 100,000 servers
	write(t, large, strings.Repeat("x", ofMostServers))
	if f, err := h.File(t.Context(), large); err != nil || len(f.Data) != ofMostServers {
		t.Errorf("the status of 100,000 servers: %d octets, %v", len(f.Data), err)
	}

	err = wrap("read x", &fs.PathError{Op: "open", Path: "x", Err: fs.ErrPermission})
	if !errors.Is(err, host.ErrUnavailable) {
		t.Error("what we may not read is not ErrUnavailable")
	}
}

// TestFileAllocates: a file with its stated size is read in one piece, because a run reads dozens of files.
func TestFileAllocates(t *testing.T) {
	h, _ := newFake(t)
	path := filepath.Join(t.TempDir(), "file")
	allocations := func(size int) float64 {
		write(t, path, strings.Repeat("x", size))
		return testing.AllocsPerRun(10, func() { _, _ = h.File(t.Context(), path) })
	}
	if short, long := allocations(1), allocations(1<<20); long > short {
		t.Errorf("%v allocations for a short file, %v for a long one", short, long)
	}
}

func TestRemoveFile(t *testing.T) {
	h, _ := newFake(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	write(t, path, "x")
	write(t, filepath.Join(dir, ".file1234567890123"), "half")
	for range 2 {
		recorded.WantError(t, h.RemoveFile(t.Context(), path), "")
	}
	if got := names(t, dir); len(got) > 0 {
		t.Errorf("left %q", got)
	}
	recorded.WantError(t, h.RemoveFile(t.Context(), filepath.Join(path, "below")), "")
	recorded.WantError(t, h.RemoveFile(t.Context(), dir), "cannot remove "+dir+": a directory")
}

// TestPathsThatOthersCanSwap: nothing is written or removed below a directory where another user could redirect the path.
func TestPathsThatOthersCanSwap(t *testing.T) {
	h, _ := newFake(t)
	top := t.TempDir()
	safe, shared := filepath.Join(top, "safe"), filepath.Join(top, "shared")
	for _, dir := range []string{safe, shared} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(safe, "file"), "root's")
	if err := errors.Join(os.Chmod(shared, 0o777), os.Symlink("../safe", filepath.Join(shared, "dir")), os.Symlink("../safe/file", filepath.Join(shared, "link"))); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"link", "dir/file", "dir/../safe/file", "new"} {
		path := shared + "/" + path // not cleaned
		wants := ": others than root may write " + shared + " (chmod go-w " + shared + ")"
		recorded.WantError(t, h.WriteFile(t.Context(), path, []byte("theirs"), 0o644, os.Getuid(), os.Getgid()), "cannot write "+path+wants)
		recorded.WantError(t, h.RemoveFile(t.Context(), path), "cannot remove "+path+wants)
		if err := h.RootOnly(t.Context(), path); err == nil {
			t.Errorf("%s is root's alone", path)
		}
	}
	if data, err := os.ReadFile(filepath.Join(safe, "file")); err != nil || string(data) != "root's" {
		t.Errorf("root's file: %q, %v", data, err)
	}
	if got := names(t, shared); !slices.Equal(got, []string{"dir", "link"}) {
		t.Errorf("left %q", got)
	}
}

// TestRunDetachedOfOthers: a program that other users can change is not run as root.
func TestRunDetachedOfOthers(t *testing.T) {
	h, f := newFake(t)
	program := filepath.Join(t.TempDir(), "agent")
	write(t, program, "")
	if err := os.Chmod(program, 0o777); err != nil {
		t.Fatal(err)
	}
	err := h.start(t.Context(), "x.service", program, "rejoin")
	if err == nil || !strings.Contains(err.Error(), "others than root may write "+program) || len(f.Ran) > 0 {
		t.Errorf("%v, ran %q", err, f.Ran)
	}
}
