package export

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// leftSocket is a socket whose program was killed.
func leftSocket(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
}

// A socket that a killed agent left is replaced. That of another program, or a file, is not, whether the program runs or not.
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
	_ = l.(socket).UnixListener.Close() // as the kernel does when it is killed
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

// Another program's socket that came in place of the agent's stays when the agent ends.
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

// Who may write the socket's directory could lead the change of its mode to a file of root. There is no socket there then.
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

// A directory of another user is no place for a socket.
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

// foreign makes a directory that everybody may write.
func foreign(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil { // in spite of the umask
		t.Fatal(err)
	}
}
