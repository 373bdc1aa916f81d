package export

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A socket that a killed agent left is taken over; one that somebody listens on is not.
func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.sock")
	left, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listenAt("unix:" + path); err == nil || !strings.Contains(err.Error(), "another program does") {
		t.Errorf("in use: %v", err)
	}
	left.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = left.Close()
	l, err := listenAt("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	file := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenAt("unix:" + file); err == nil {
		t.Error("a file was taken for a socket")
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "x" {
		t.Errorf("the file is not as it was: %q, %v", data, err)
	}
}

// Who may write the socket's directory could lead the change of its mode to a file of root. There is no socket there then.
func TestSocketInAForeignDirectory(t *testing.T) {
	dir, precious := filepath.Join(t.TempDir(), "shared"), filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(precious, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	foreign(t, dir)
	socket := filepath.Join(dir, "web.sock")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // the attack
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_ = os.Remove(socket)
				_ = os.Symlink(precious, socket)
			}
		}
	}()
	for range 300 {
		l, err := listenAt("unix:" + socket)
		if err == nil {
			_ = l.Close()
			t.Error("there is a socket")
		} else if !strings.Contains(err.Error(), "replace what is in "+dir) || !strings.Contains(err.Error(), "choose a directory that only root may write") {
			t.Fatal(err)
		}
		if info, err := os.Stat(precious); err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("root's file: %v, %v", info.Mode(), err)
		}
	}
	close(stop)
	<-stopped
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
