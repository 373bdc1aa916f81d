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

// answerPatience is the time limit for one answer of HAProxy. A hung HAProxy must not hang the agent.
const answerPatience = 2 * time.Second

// ask sends one command to one of HAProxy's sockets and reads the answer to its end. The answer can contain a server's
// answer to a health check, so control characters are removed.
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
	// HAProxy 2.2's master keeps the connection open after its answer unless the client closes its half.
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

// askPatience is the longest that a healthy HAProxy takes to answer, and the longest that this call blocks a thread.
const askPatience = 5 // milliseconds

// askQuickly says whether the program at a socket answers a question at once. It calls the kernel directly, past the Go
// runtime, so that a probe twice a second wakes one thread and not four. No answer proves nothing yet.
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
