package export

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/rootpath"
	"rlb.dev/rlb-agent/reconcile/state"
)

// socketMode lets every user of this host read the page, as a loopback address does.
const socketMode = 0o666

// listenUnix listens on a socket for every user of this host. It replaces a socket that a killed agent left, and no
// other file.
//
// Only root may have write access to the directory and its parents. Otherwise another user could replace the socket
// with a link to a file of root before its mode is changed.
func (e *Exporter) listenUnix(path string) (net.Listener, error) {
	l, err := e.listenTrusted(path)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	return l, nil
}

func (e *Exporter) listenTrusted(path string) (_ net.Listener, err error) {
	if err := e.paths.Check(filepath.Dir(path)); err != nil {
		if others := (*rootpath.Error)(nil); errors.As(err, &others) {
			err = fmt.Errorf("%w; or choose a directory that only root may write, like unix:/run/rlb/web.sock", err)
		}
		return nil, err
	}
	if err := e.takeOver(path); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, errno(err)
	}
	l.SetUnlinkOnClose(false) // another program may have replaced it since
	info, _ := os.Lstat(path)
	made := socket{l, state.Socket{Path: path, Made: madeAt(path)}, info}
	if err := errors.Join(os.Chmod(path, socketMode), made.Write(context.Background(), e.Host)); err != nil {
		return nil, errors.Join(errno(err), made.Close())
	}
	return made, nil
}

// takeOver removes a socket that the agent made and on which no program listens.
func (e *Exporter) takeOver(path string) error {
	if info, err := os.Lstat(path); err != nil || info.Mode()&fs.ModeSocket == 0 {
		return nil // if it is another file, listening reports the error
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = conn.Close()
		return errors.New("another program does")
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return nil
	}
	last, err := state.ReadSocket(context.Background(), e.Host)
	if err != nil {
		return err
	}
	if ours := last.Path == path && last.Made.Equal(madeAt(path)); !ours && filepath.Dir(path) != host.RunDir {
		return fmt.Errorf("another program has left a socket there; if it is gone for good, remove %s, or choose another path", path)
	}
	return os.Remove(path)
}

// madeAt returns when a socket was made: it tells two sockets at the same path apart.
func madeAt(path string) time.Time {
	info, err := os.Lstat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime().UTC()
}

// socket is a listener on a socket that the agent made.
type socket struct {
	*net.UnixListener
	state.Socket
	file fs.FileInfo
}

// gone reports whether somebody removed or replaced the socket: no client reaches the listener any more.
func (s socket) gone() bool {
	info, err := os.Lstat(s.Path)
	return err != nil || !os.SameFile(info, s.file)
}

// Close removes the socket, unless it was replaced.
func (s socket) Close() error {
	err := s.UnixListener.Close()
	if madeAt(s.Path).Equal(s.Made) {
		err = errors.Join(err, os.Remove(s.Path))
	}
	return err
}
