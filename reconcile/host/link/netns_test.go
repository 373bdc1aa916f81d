package link

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// space is an unnamed network namespace. It disappears when nothing uses it any more.
type space struct {
	t    *testing.T
	file *os.File
}

const here = "/proc/thread-self/ns/net"

func newSpace(t *testing.T) space {
	t.Helper()
	skipFor(t, cannotTest())
	s := space{t: t}
	s.within(func() error { return unix.Unshare(unix.CLONE_NEWNET) }, func() (err error) {
		s.file, err = os.Open(here)
		return err
	})
	t.Cleanup(func() { _ = s.file.Close() })
	s.ip("link set lo up")
	return s
}

// skipFor skips a test that cannot run here, for a reason; "" means that it can run.
func skipFor(t *testing.T, reason string) {
	t.Helper()
	switch {
	case reason == "":
	case os.Getenv("RLB_REQUIRE") == "1":
		t.Fatalf("RLB_REQUIRE=1: %s", reason)
	default:
		t.Skip(reason)
	}
}

func cannotTest() string {
	if os.Getuid() != 0 {
		return "network namespaces need root"
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return "network namespaces need iproute2"
	}
	return ""
}

// do runs f on a thread in the namespace.
func (s space) do(f func() error) {
	s.t.Helper()
	s.within(func() error { return unix.Setns(int(s.file.Fd()), unix.CLONE_NEWNET) }, f)
}

func (s space) within(enter, f func() error) {
	s.t.Helper()
	runtime.LockOSThread()
	home, err := os.Open(here)
	if err != nil {
		s.t.Fatal(err)
	}
	defer home.Close()
	if err = enter(); err == nil {
		err = f()
	}
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		s.t.Fatal(back) // the thread stays locked, so it ends with this goroutine
	}
	runtime.UnlockOSThread()
	if err != nil {
		s.t.Fatal(err)
	}
}

// ip runs ip(8) in the namespace, once for each line, and returns its output.
func (s space) ip(lines ...string) string {
	s.t.Helper()
	return s.run("ip", lines...)
}

func (s space) run(program string, lines ...string) string {
	s.t.Helper()
	var said strings.Builder
	s.do(func() error {
		for _, line := range lines {
			out, err := exec.Command(program, strings.Fields(line)...).CombinedOutput()
			if said.Write(out); err != nil {
				return fmt.Errorf("%s %s: %w: %s", program, line, err, out)
			}
		}
		return nil
	})
	return said.String()
}

// MACs of the two hosts on a cable.
const macA, macB = "02:00:00:00:00:0a", "02:00:00:00:00:0b"

// cable makes two hosts on a cable, each with an interface "eth" and its own addresses: 198.51.100.1 and .2, 2001:db8::1
// and ::2.
func cable(t *testing.T) (a, b space) {
	t.Helper()
	a, b = newSpace(t), newSpace(t)
	other := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), b.file.Fd())
	a.ip("link add eth address " + macA + " type veth peer name eth address " + macB + " netns " + other)
	for i, s := range []space{a, b} {
		n := fmt.Sprint(i + 1)
		s.ip("link set eth addrgenmode none", "link set eth up", "address add 198.51.100."+n+"/24 dev eth",
			"address add 2001:db8::"+n+"/64 dev eth nodad", "address add fe80::"+n+"/64 dev eth nodad")
	}
	for _, s := range []space{a, b} { // a kernel sends nothing until it has noticed that the cable is connected
		for deadline := time.Now().Add(5 * time.Second); !strings.Contains(s.ip("link show eth"), "qdisc noqueue state UP"); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the cable is not up")
			}
		}
	}
	return a, b
}
