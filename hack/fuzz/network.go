package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// network has the namespace in which HAProxy runs, and another one with the servers: there every address of
// 198.51.100.0/24 and 2001:db8::/64 is local.
type network struct{ host, servers *namespace }

// Ports of connections from the host, which stay in use for a while after a connection.
const firstOwnPort, lastOwnPort = 61000, 61999

// namespace is a thread in a network namespace. It does what depends on the namespace, such as opening a socket.
type namespace struct {
	calls chan func()
	tid   int
}

// enter starts a thread in a namespace. The thread lives as long as this program, because it may have started a tree's
// programs, which end with the thread.
func enter(how func() error) (*namespace, error) {
	n := &namespace{calls: make(chan func())}
	entered := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: no other goroutine can run on this thread
		n.tid = unix.Gettid()
		err := how()
		entered <- err
		for call := range n.calls {
			call()
		}
	}()
	return n, <-entered
}

func (n *namespace) do(f func() error) error {
	result := make(chan error)
	n.calls <- func() { result <- f() }
	return <-result
}

// ip runs commands of ip, one per line.
func (n *namespace) ip(commands string) error {
	return n.do(func() error {
		cmd := exec.Command("ip", "-batch", "-")
		cmd.Stdin = strings.NewReader(commands)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("cannot run ip: %w\n%s%s", err, commands, out)
		}
		return nil
	})
}

// network makes the servers' namespace, once, and the link to it.
func (t *tree) network() (*network, error) {
	if t.net != nil {
		return t.net, nil
	}
	if _, _, err := t.run("true", nil); err != nil { // the process that answers is in the namespaces
		return nil, err
	}
	host, err := enter(func() error {
		f, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", t.pid))
		if err != nil {
			return err
		}
		defer f.Close()
		theirs, err := f.Stat()
		if err != nil {
			return err
		}
		ours, err := os.Stat("/proc/self/ns/net")
		if err != nil {
			return err
		}
		if os.SameFile(ours, theirs) { // nothing may be changed in, or sent from, the machine's own namespace
			return errors.New("it is the machine's own")
		}
		return unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
	})
	if err != nil {
		return nil, fmt.Errorf("cannot enter the namespace of haproxy: %w", err)
	}
	servers, err := enter(func() error { return unix.Unshare(unix.CLONE_NEWNET) })
	if err != nil {
		return nil, fmt.Errorf("cannot make a namespace for servers: %w", err)
	}
	t.net = &network{host, servers}
	err = host.ip(fmt.Sprintf(`link add rlb-way type veth peer name rlb-host netns /proc/%d/task/%d/ns/net
link set rlb-way up
address add 169.254.255.1/30 dev rlb-way
address add fe80::1/64 dev rlb-way nodad
`, os.Getpid(), servers.tid))
	if err == nil {
		err = servers.ip(`link set lo up
link set rlb-host up
address add 169.254.255.2/30 dev rlb-host
address add fe80::2/64 dev rlb-host nodad
route add local 198.51.100.0/24 dev lo
route add local 2001:db8::/64 dev lo
route add default via 169.254.255.1
route add default via fe80::1 dev rlb-host
`)
	}
	if err == nil {
		err = host.do(func() error {
			return os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", fmt.Appendf(nil, "%d %d", firstOwnPort, lastOwnPort), 0)
		})
	}
	if err == nil { // IPv4 has it by the local route
		err = servers.do(func() error { return os.WriteFile("/proc/sys/net/ipv6/ip_nonlocal_bind", []byte("1"), 0) })
	}
	if err == nil {
		err = host.ip("route add 198.51.100.0/24 via 169.254.255.2\nroute add 2001:db8::/64 via fe80::2 dev rlb-way\n")
	}
	for _, address := range []string{"198.51.100.254:1", "[2001:db8::1]:1"} {
		if err == nil {
			err = host.do(func() error { return reaches(address) })
		}
	}
	return t.net, err
}

// reaches waits until an address without a listener refuses a connection: a new link does not carry packets at once.
func reaches(address string) error {
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		switch {
		case err == nil:
			return conn.Close()
		case errors.Is(err, unix.ECONNREFUSED):
			return nil
		case time.Since(begin) > patience:
			return fmt.Errorf("cannot reach the servers' namespace: %w", err)
		}
	}
}
