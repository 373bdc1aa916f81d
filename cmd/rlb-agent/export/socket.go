package export

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// socketMode lets everybody on this host read the page, as with a loopback address.
const socketMode = 0o666

// listenUnix listens on a socket for everybody on this host. A socket that a killed agent left is taken over.
//
// The directory must be root's alone, as everything on the way to it must. In another one somebody could put a link to
// a file of root in the socket's place before its mode is changed.
func listenUnix(path string) (net.Listener, error) {
	l, err := listenTrusted(path)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	return l, nil
}

func listenTrusted(path string) (net.Listener, error) {
	dir, err := openDirectory(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close() //nolint:errcheck // nothing was written to it
	if err := dir.trusted(false); err != nil {
		return nil, fmt.Errorf("%w; choose a directory that only root may write, like unix:/run/rlb/web.sock", err)
	}
	// From here on the path leads to this directory as long as root does not change that.
	if err := takeOver(path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, errno(err)
	}
	if err := os.Chmod(path, socketMode); err != nil {
		_ = l.Close()
		return nil, errno(err)
	}
	return l, nil
}

// takeOver removes a socket that nobody listens on.
func takeOver(path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&fs.ModeSocket == 0 {
		return nil // else listening says what is wrong
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = conn.Close()
		return errors.New("another program does")
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return os.Remove(path)
	}
	return nil
}
