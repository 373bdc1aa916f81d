package failover

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// holdsOf counts the addresses that the host holds.
func holdsOf(h *e2e.Host, vips []netip.Addr) (n int) {
	held, _ := h.Addresses()
	for _, p := range held {
		if slices.Contains(vips, p.Addr()) {
			n++
		}
	}
	return n
}

// addressRange returns n consecutive addresses.
func addressRange(first string, n int) (all []netip.Addr) {
	for addr := netip.MustParseAddr(first); len(all) < n; addr = addr.Next() {
		all = append(all, addr)
	}
	return all
}

// closedInput accepts only what every host needs: the agent must add the rest. Advertisements are excluded from
// ESTABLISHED, because the unicast advertisements of two masters would count as answers to each other.
const closedInput = `for t in iptables ip6tables; do
	$t -A INPUT ! -p 112 -m state --state ESTABLISHED,RELATED -j ACCEPT; $t -A INPUT -i lo -j ACCEPT
	$t -A INPUT -p icmp -j ACCEPT; $t -A INPUT -p ipv6-icmp -j ACCEPT; $t -P INPUT DROP
done`

// rogue sends advertisements for a second: from an address that no node has, for virtual router 100 with the virtual IP
// 198.51.100.100 (RFC 9568 §5.2). The priority is an argument; the default is the highest.
const rogue = `use Socket; my ($from, $to) = map inet_aton($_), @ARGV[0, 1];
my $body = pack("CCCCnn", 0x31, 100, $ARGV[2] // 255, 1, 10, 0) . inet_aton("198.51.100.100");
my $sum = 0; $sum += $_ for unpack("n*", $from . $to . pack("CCn", 0, 112, length $body) . $body);
$sum = ($sum & 0xffff) + ($sum >> 16) for 1 .. 2;
substr($body, 6, 2) = pack("n", ~$sum & 0xffff);
socket(S, PF_INET, SOCK_RAW, 112) or die $!; bind(S, pack_sockaddr_in(0, $from)) or die $!;
setsockopt(S, 0, 2, pack("i", 255)); setsockopt(S, 0, 33, pack("i", 255)); setsockopt(S, 0, 32, $from);
for (1 .. 20) { send(S, $body, 0, pack_sockaddr_in(0, $to)) or die $!; select(undef, undef, undef, 0.05) }
`

// TestTransports: with every transport and every content of the advertisements, behind a closed firewall, one host
// holds all of the virtual IPs, and when it stops the other one takes them over.
func TestTransports(t *testing.T) {
	w := e2e.New(t)
	all := w.Hosts(true, lab.Trixie, lab.Bookworm)
	a, b := all[0], all[1]
	for i, h := range all {
		h.Shell(closedInput)
		h.Shell(fmt.Sprintf("ip address add 2001:db8::1%d/64 dev eth0 nodad", i+1))
		h.Shell("systemctl stop keepalived")
	}

	v4, v6 := addressRange(pair.VIP, 1), addressRange("2001:db8::100", 1)
	both := append(slices.Clone(v4), v6...)
	twenty := append(addressRange(pair.VIP, 10), addressRange("2001:db8::100", 10)...)
	// nodes with the addresses of the given families, and with fields of their own
	pair := func(ends4, ends6 bool, first, second string) string {
		text := "nodes:\n"
		for i, more := range []string{first, second} {
			var addrs []string
			if ends4 {
				addrs = append(addrs, fmt.Sprintf("198.51.100.1%d", i+1))
			}
			if ends6 {
				addrs = append(addrs, fmt.Sprintf(`"2001:db8::1%d"`, i+1))
			}
			text += fmt.Sprintf("- {name: lb%d, addresses: [%s]%s}\n", i+1, strings.Join(addrs, ", "), more)
		}
		return text
	}
	const unicast, preempt = "vrrp: {transport: unicast}", "vrrp: {preempt: true}"
	for _, c := range []struct {
		name    string
		vips    []netip.Addr
		more    []string
		prefers string // the host to which the virtual IPs return
		rogue   string // destination of a forged advertisement; %s is the address of the active host
		delay   time.Duration
	}{
		{"multicast", v4, []string{pair(true, false, "", "")}, "", "224.0.0.18", 0},
		{"multicast, peers unknown", v4, nil, "", "", 0},
		{"unicast", v4, []string{pair(true, false, "", ""), unicast}, "", "%s", 0},
		{"IPv6 multicast", v6, []string{pair(false, true, "", "")}, "", "", 0},
		{"IPv6 unicast", v6, []string{pair(false, true, "", ""), unicast}, "", "", 0},
		{"both families unicast", both, []string{pair(true, true, "", ""), unicast}, "", "", 0},
		{"20 virtual IPs", twenty, []string{pair(true, true, "", "")}, "", "", 0},
		{"priority, fail back", v4, []string{pair(true, false, ", priority: 100", ", priority: 200"), preempt}, "lb2", "", 0},
		{"priority, fail back after a delay", v4, []string{pair(true, false, ", priority: 100", ", priority: 200"), "vrrp: {preempt: true, preemptDelay: 5s}"}, "lb2", "", 5 * time.Second},
		{"priority, no fail back", v4, []string{pair(true, false, ", priority: 200", ", priority: 100")}, "", "", 0},
		{"an interface of its own", both, []string{pair(true, true, "", ", interface: lan0")}, "", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, a, b := w.In(t), a.In(t), b.In(t)
			all := []*e2e.Host{a, b}
			var texts []string
			for _, addr := range c.vips {
				texts = append(texts, `"`+addr.String()+`"`)
			}
			text := strings.Replace(e2e.Spec(c.more...), "[198.51.100.100]", "["+strings.Join(texts, ", ")+"]", 1)
			for _, h := range all {
				h.Shell("systemctl stop rlb-agent; systemctl stop --no-block keepalived") // in this order: otherwise the daemon starts keepalived again
				h.WriteSpec(text)
			}
			if strings.Contains(text, "lan0") {
				b.Shell("systemctl stop keepalived")
				b.Shell("ip link set eth0 down; ip link set eth0 name lan0; ip link set lan0 up; ip address add 2001:db8::12/64 dev lan0 nodad")
			}
			for _, h := range all {
				h.Shell("systemctl stop keepalived; systemctl start rlb-agent")
			}
			// one host has all of them, the other one none
			whole := func(active, standby *e2e.Host) bool {
				return holdsOf(active, c.vips) == len(c.vips) && holdsOf(standby, c.vips) == 0
			}
			w.Eventually("both are as the spec says, and one holds all virtual IPs", 15*time.Second, func() bool {
				for _, h := range all {
					// it waits for the daemon's run, which checks for a moment that what it has started keeps running
					if code, out := h.RunAgent("--once"); code != 0 || !strings.Contains(out, "nothing to do") || !h.FaultFlag(false) {
						return false
					}
				}
				return whole(a, b) && c.prefers != b.Name() || whole(b, a) && c.prefers != a.Name()
			})
			active, standby := a, b
			if whole(b, a) {
				active, standby = b, a
			}
			w.Never("the roles change", 300*time.Millisecond, func() bool { return !whole(active, standby) })

			if c.rogue != "" {
				target := strings.Replace(c.rogue, "%s", active.Addr().String(), 1)
				standby.Shell("ip address add 198.51.100.99/24 dev eth0")
				advertise := func() bool { // reports whether the virtual IP moved
					done, moved := make(chan error), false
					go func() {
						_, err := standby.Run(t.Context(), "perl", "-e", rogue, "198.51.100.99", target)
						done <- err
					}()
					for {
						select {
						case err := <-done:
							if err != nil {
								t.Error(err)
							}
							return moved
						case <-time.After(5 * time.Millisecond):
							moved = moved || !active.Active()
						}
					}
				}
				if advertise() {
					t.Error("a forged advertisement is let in")
				}
				active.Shell("systemctl stop rlb-agent; iptables -I INPUT -p 112 -j ACCEPT") // without the firewall it would move
				if !advertise() {
					t.Error("without the firewall it changes nothing either: it proves nothing")
				}
				active.Shell("iptables -D INPUT -p 112 -j ACCEPT; systemctl start rlb-agent")
				standby.Shell("ip address del 198.51.100.99/24 dev eth0")
				w.Eventually("one holds all virtual IPs again", 5*time.Second, func() bool { return whole(a, b) || whole(b, a) })
				if active, standby = a, b; whole(b, a) {
					active, standby = b, a
				}
			}

			active.Shell("systemctl stop --no-block keepalived") // the daemon is about to start it again
			var left time.Time
			w.Eventually("failover", 5*time.Second, func() bool {
				for range 10 { // more often than Eventually checks
					if left.IsZero() && holdsOf(active, c.vips) < len(c.vips) {
						left = time.Now()
					}
					if !left.IsZero() && whole(standby, active) {
						return true
					}
					time.Sleep(time.Millisecond)
				}
				return false
			})
			took := time.Since(left)
			if took > 300*time.Millisecond {
				t.Errorf("the other one took over after %v", took)
			}
			w.Eventually("keepalived is started again", 5*time.Second, func() bool { return active.Is("active", "keepalived", "active") })
			if c.prefers == active.Name() {
				w.Eventually("fail back", 5*time.Second+c.delay, func() bool { return whole(active, standby) })
				if back := time.Since(left); back < c.delay {
					t.Errorf("it fails back %v after the failover, and preemptDelay is %v", back, c.delay)
				}
			} else {
				w.Never("fail back", 500*time.Millisecond, func() bool { return !whole(standby, active) })
			}
			t.Logf("%s -> %s: %v", active.Name(), standby.Name(), took)
		})
	}
}
