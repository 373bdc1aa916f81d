package haproxy

import (
	"context"
	"errors"
	"io"
	"net"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"rlb.dev/rlb-agent/reconcile/host"
)

// answerPatience is how long HAProxy may take over one answer. A hung one must not hang us.
const answerPatience = 2 * time.Second

// ask sends one command to one of HAProxy's sockets and reads its answer to the end. A server's answer to a health check may
// stand in it.
func ask(ctx context.Context, path, question string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		return "", err
	}
	defer conn.Close() //nolint:errcheck // all was read
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := io.WriteString(conn, question); err != nil {
		return "", err
	}
	// HAProxy 2.2's master keeps the connection open after its answer unless our half of it is closed.
	if half, ok := conn.(*net.UnixConn); ok {
		if err := half.CloseWrite(); err != nil {
			return "", err
		}
	}
	answer, err := io.ReadAll(io.LimitReader(conn, 64<<20))
	if err != nil {
		return "", errors.Join(context.Cause(ctx), err)
	}
	return host.Clean(string(answer)), nil
}

// askPatience is how long a HAProxy that is well takes to answer at most, and how long a thread may stand still here.
const askPatience = 5 // milliseconds

// askQuickly says whether somebody at a socket answers a question at once. It asks the kernel without the runtime's
// knowledge: a probe twice a second, for years, is to wake one thread and not four. No answer means nothing yet.
func askQuickly(path, question string) bool {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	if unix.Connect(fd, &unix.SockaddrUnix{Name: path}) != nil {
		return false
	}
	if n, err := unix.Write(fd, []byte(question)); err != nil || n < len(question) {
		return false
	}
	wait := unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	timeout := unix.Timespec{Nsec: askPatience * 1e6}
	// #nosec G103 -- the kernel reads and writes both within the call
	ready, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&wait)), 1, uintptr(unsafe.Pointer(&timeout)), 0, 0, 0)
	if errno != 0 || ready != 1 {
		return false
	}
	n, err := unix.Read(fd, make([]byte, 64))
	return err == nil && n > 0
}
