package export

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// leftSocket makes a socket as a killed program leaves it.
func leftSocket(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
}

// TestUnixSocket: a socket that a killed agent left is replaced. A file, or the socket of another program, running or
// not, is not replaced.
func TestUnixSocket(t *testing.T) {
	s, path := newShown(t), filepath.Join(t.TempDir(), "web.sock")
	l, err := s.listenAt("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := s.listenAt("unix:" + path); err == nil || !strings.Contains(err.Error(), "another program does") {
		t.Errorf("in use: %v", err)
	}
	_ = l.(socket).UnixListener.Close() // as the kernel does after a kill
	if l, err = s.listenAt("unix:" + path); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}

	leftSocket(t, path)
	before := madeAt(path)
	if _, err := s.listenAt("unix:" + path); err == nil || !strings.Contains(err.Error(), "another program has left a socket there; if it is gone for good, remove "+path) {
		t.Errorf("another program's: %v", err)
	}
	if !madeAt(path).Equal(before) {
		t.Error("another program's socket is not as it was")
	}

	file := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.listenAt("unix:" + file); err == nil {
		t.Error("a file was taken for a socket")
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "x" {
		t.Errorf("the file is not as it was: %q, %v", data, err)
	}
}

// TestRemovedSocket: a socket that somebody removes is made again, within a second.
func TestRemovedSocket(t *testing.T) {
	s, path := newShown(t), filepath.Join(t.TempDir(), "run/web.sock")
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	s.run("web: {address: 'unix:" + path + "'}\n")
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if s.follow(t.Context()); !s.listeners["web.address"].serving() {
		t.Error("a socket that is only touched is given up")
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	defer running.Wait()
	defer cancel()
	for _, remove := range []func() error{
		func() error { return os.Remove(path) },
		func() error {
			return errors.Join(os.RemoveAll(filepath.Dir(path)), os.Mkdir(filepath.Dir(path), 0o755))
		},
	} {
		time.Sleep(100 * time.Millisecond) // until the watch is in place
		if err := remove(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for answers := false; !answers; time.Sleep(10 * time.Millisecond) {
			conn, err := net.Dial("unix", path)
			if answers = err == nil; answers {
				conn.Close()
			} else if time.Since(began) > time.Second {
				t.Fatal(err)
			}
		}
	}
}

// TestSocketOfAnotherProgramStays: if another program's socket has replaced the agent's, the agent does not remove it
// at its end.
func TestSocketOfAnotherProgramStays(t *testing.T) {
	s, path := newShown(t), filepath.Join(t.TempDir(), "web.sock")
	l, err := s.listenAt("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	leftSocket(t, path)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
}

// TestSocketInAForeignDirectory: a user with write access to the socket's directory could redirect the chmod to a file
// of root. So no socket is made there.
func TestSocketInAForeignDirectory(t *testing.T) {
	s, dir, precious := newShown(t), filepath.Join(t.TempDir(), "shared"), filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(precious, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	foreign(t, dir)
	path := filepath.Join(dir, "web.sock")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // the attack
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_ = os.Remove(path)
				_ = os.Symlink(precious, path)
			}
		}
	}()
	for range 300 {
		l, err := s.listenAt("unix:" + path)
		if err == nil {
			_ = l.Close()
			t.Error("there is a socket")
		} else if !strings.Contains(err.Error(), "others than root may write "+dir) || !strings.Contains(err.Error(), "choose a directory that only root may write") {
			t.Fatal(err)
		}
		if info, err := os.Stat(precious); err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("root's file: %v, %v", info.Mode(), err)
		}
	}
	close(stop)
	<-stopped
}

// TestSocketInAnotherUsersDirectory: no socket is made in a directory of another user.
func TestSocketInAnotherUsersDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "theirs")
	err := errors.Join(os.Mkdir(dir, 0o755), os.Chown(dir, 65534, -1))
	if errors.Is(err, syscall.EPERM) {
		t.Skip("only root gives files away")
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newShown(t).listenAt("unix:" + dir + "/web.sock"); err == nil || !strings.Contains(err.Error(), dir+" belongs to user 65534") {
		t.Errorf("a socket there: %v", err)
	}
}

// foreign makes a directory that everyone may write.
func foreign(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil { // in spite of the umask
		t.Fatal(err)
	}
}
