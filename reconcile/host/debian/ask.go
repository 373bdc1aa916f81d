package debian

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

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
