package fields

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rlb.dev/rlb-agent/render"
)

// A network is a network namespace. The zero value is the test's own.
type network struct{ path string }

// newNetwork makes a namespace that ends with the test. pid is a process in it.
func newNetwork(t *testing.T, tree string) (n network, pid int) {
	t.Helper()
	holder := exec.Command("sleep", "infinity")
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	run(t, holder)
	pid = holder.Process.Pid
	return network{fmt.Sprintf("%s/proc/%d/ns/net", tree, pid)}, pid
}

// neighbour makes a namespace with an interface, whose other end has the same name in n. Each end gets addresses.
func (n network) neighbour(t *testing.T, tree, name string, own, others []string) network {
	t.Helper()
	other, pid := newNetwork(t, tree)
	n.ip(t, "link", "add", name, "type", "veth", "peer", "name", name, "netns", fmt.Sprint(pid))
	for network, addresses := range map[network][]string{n: own, other: others} {
		network.ip(t, "link", "set", "lo", "up")
		network.ip(t, "link", "set", name, "up")
		for _, address := range addresses {
			args := []string{"address", "add", address, "dev", name}
			if netip.MustParsePrefix(address).Addr().Is6() {
				args = append(args, "nodad")
			}
			network.ip(t, args...)
		}
	}
	return other
}

// command prepares a command in the namespace.
func (n network) command(args ...string) *exec.Cmd {
	if n.path != "" {
		args = append([]string{"nsenter", "--net=" + n.path}, args...)
	}
	return exec.Command(args[0], args[1:]...)
}

func (n network) ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := n.command(append([]string{"ip"}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %v: %v\n%s", args, err, out)
	}
}

// holds reports whether an interface has an address.
func (n network) holds(name, address string) bool {
	out, err := n.command("ip", "-o", "address", "show", "dev", name).Output()
	return err == nil && strings.Contains(string(out), " "+address+"/")
}

// dial connects from an address in the namespace.
func (n network) dial(from, to string, within time.Duration) (conn net.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		var namespace *os.File
		if namespace, err = os.Open(n.path); err != nil {
			return
		}
		defer namespace.Close()
		if err = unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			return
		}
		dialer := net.Dialer{Timeout: within, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		conn, err = dialer.Dial("tcp", to)
	}()
	<-done
	return conn, err
}

// keepalived runs the tree's own keepalived in the namespace. The names distinguish those of one tree.
func (n network) keepalived(t *testing.T, tree, name, config string) (stop func()) {
	t.Helper()
	write(t, tree, "etc/keepalived/"+name+".conf", config)
	write(t, tree, "run/rlb/.keep", "")
	write(t, tree, "var/lib/rlb/.keep", "")
	args := []string{"chroot", tree, "keepalived", "-n", "-l", "-P", "-f", "/etc/keepalived/" + name + ".conf"}
	for _, process := range []string{"pid", "vrrp_pid", "checkers_pid", "bfd_pid"} {
		args = append(args, "--"+process, "/run/"+name+"-"+process)
	}
	return run(t, n.command(args...))
}

// TestAllowFrom: a client that may reach one service but not another, and a client that may reach both, by IPv4 and by
// IPv6.
func TestAllowFrom(t *testing.T) {
	inTrees(t, func(t *testing.T, tree string) {
		outside := network{}.neighbour(t, tree, "eth0", []string{"192.0.2.1/24", "2001:db8::1/64"},
			[]string{"192.0.2.101/24", "192.0.2.102/24", "2001:db8::101/64", "2001:db8::102/64"})
		const yaml = `apiVersion: rlb.dev/v1
kind: LoadBalancerSpec
virtualIPs: [192.0.2.10/24, "2001:db8::10/64"]
services:
- {name: some, port: 7060, servers: [{address: 127.0.0.1, port: 8060}], allowFrom: [192.0.2.101/32, "2001:db8::101/128"]}
- {name: all, port: 7061, servers: [{address: 127.0.0.1, port: 8060}]}
`
		greeter(t, "127.0.0.1:8060", "web")
		haproxyOf(t, tree, yaml, 7061)
		for i, rules := range renderedAll(t, tree, yaml, render.FirewallRules) {
			inTree(t, tree, rules, []string{"iptables-restore", "ip6tables-restore"}[i], "--noflush")
		}
		type row struct{ from, to, want string }
		var rows []row
		for to, clients := range map[string][]string{"192.0.2.1:": {"192.0.2.101", "192.0.2.102"}, "[2001:db8::1]:": {"2001:db8::101", "2001:db8::102"}} {
			rows = append(rows, row{clients[0], to + "7060", "web"}, row{clients[1], to + "7060", "timeout"}, row{clients[0], to + "7061", "web"}, row{clients[1], to + "7061", "web"})
		}
		got := make(chan string)
		for _, r := range rows {
			go func() {
				within := waitTime
				if r.want == "timeout" {
					within = 500 * time.Millisecond
				}
				conn, err := outside.dial(r.from, r.to, within)
				said := fmt.Sprint(err)
				if err == nil {
					defer conn.Close()
					said = answer(conn, "x")
				}
				if !strings.HasSuffix(said, r.want) {
					got <- fmt.Sprintf("%s gets %q from %s, want %q", r.from, said, r.to, r.want)
					return
				}
				got <- ""
			}()
		}
		for range rows {
			if wrong := <-got; wrong != "" {
				t.Error(wrong)
			}
		}
	})
}
