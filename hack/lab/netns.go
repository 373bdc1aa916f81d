package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

const netnsDir = "/run/netns"

// A netns is a named network namespace with a thread of this process inside. The thread does only what depends on the
// namespace, such as opening a socket; other threads may use the socket.
type netns struct {
	name  string
	calls chan func()
	done  chan struct{}
}

// openNetns makes the namespace and starts a thread in it.
func openNetns(ctx context.Context, name string) (*netns, error) {
	if _, err := run(ctx, "ip", "netns", "add", name); err != nil {
		return nil, err
	}
	n := &netns{name: name, calls: make(chan func()), done: make(chan struct{})}
	started := make(chan error)
	go n.serve(started)
	if err := <-started; err != nil {
		removeNetns(name)
		return nil, fmt.Errorf("cannot enter network namespace %s: %w", name, err)
	}
	return n, nil
}

// serve runs calls inside the namespace until close.
func (n *netns) serve(started chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// The process's first thread cannot end, and /proc/self shows its namespace. So the goroutine is started again while
		// this thread is held.
		again := make(chan error)
		go n.serve(again)
		err := <-again
		runtime.UnlockOSThread()
		started <- err
		return
	}
	// Never unlocked: the thread ends with this goroutine, and no other goroutine can run in the namespace.
	fd, err := unix.Open(filepath.Join(netnsDir, n.name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		err = unix.Setns(fd, unix.CLONE_NEWNET)
		unix.Close(fd)
	}
	started <- err
	if err != nil {
		return
	}
	for {
		select {
		case call := <-n.calls:
			call()
		case <-n.done:
			return
		}
	}
}

// do runs f, which must be quick, in the namespace.
func (n *netns) do(f func() error) error {
	result := make(chan error, 1)
	select {
	case n.calls <- func() { result <- f() }:
		return <-result
	case <-n.done:
		return errors.New("cannot use a network namespace that is gone")
	}
}

// close ends the thread and removes the name; the namespace is removed with the last process in it.
func (n *netns) close() {
	close(n.done)
	removeNetns(n.name)
}

func removeNetns(name string) {
	path := filepath.Join(netnsDir, name)
	_ = unix.Unmount(path, unix.MNT_DETACH)
	_ = os.Remove(path)
}

// listen opens a listener for TCP in the namespace.
func (n *netns) listen(addr netip.AddrPort) (l net.Listener, err error) {
	err = n.do(func() error {
		l, err = net.Listen("tcp", addr.String())
		return err
	})
	return l, err
}

// dial opens a TCP connection from the namespace, whose use must end before the deadline. Options are set before it
// connects.
func (n *netns) dial(target netip.AddrPort, deadline time.Time, options ...func(fd int) error) (*net.TCPConn, error) {
	var fd int
	family, sa := sockaddr(target)
	if err := n.do(func() (err error) {
		fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		return err
	}); err != nil {
		return nil, fmt.Errorf("cannot open a socket: %w", err)
	}
	for _, set := range options {
		if err := set(fd); err != nil {
			unix.Close(fd)
			return nil, fmt.Errorf("cannot set an option of a socket: %w", err)
		}
	}
	// Only the creation of the socket needs the namespace; the runtime's poller connects it.
	if err := unix.Connect(fd, sa); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		unix.Close(fd)
		return nil, fmt.Errorf("cannot connect: %w", err)
	}
	file := os.NewFile(uintptr(fd), "tcp")
	conn, err := net.FileConn(file)
	file.Close()
	if err != nil {
		return nil, fmt.Errorf("cannot connect: %w", err)
	}
	tcp := conn.(*net.TCPConn)
	if err := connected(tcp, deadline); err != nil {
		tcp.Close()
		return nil, fmt.Errorf("cannot connect: %w", err)
	}
	return tcp, nil
}

// connected waits until the connection is established.
func connected(conn *net.TCPConn, deadline time.Time) error {
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var failure error
	if err := raw.Write(func(fd uintptr) bool {
		code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && code != 0 {
			err = unix.Errno(code)
		}
		if failure = err; err != nil {
			return true
		}
		_, err = unix.Getpeername(int(fd))
		return err == nil
	}); err != nil {
		return err
	}
	return failure
}

func sockaddr(target netip.AddrPort) (family int, sa unix.Sockaddr) {
	if target.Addr().Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(target.Port()), Addr: target.Addr().As4()}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: int(target.Port()), Addr: target.Addr().As16()}
}
