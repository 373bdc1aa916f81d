package failover

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// TestHandover: a planned move of the virtual IP loses no new connection, not even one whose third packet is delayed,
// in both directions and whatever moves it. Connections to the former holder end in time, on both ends, and clients that
// send nothing are notified.
func TestHandover(t *testing.T) {
	w := e2e.New(t)
	active, standby := w.Pair(e2e.Spec(pair.Nodes), lab.Trixie, lab.Bookworm)
	e2e.StartDaemon(active, standby)
	holdACKs(w)
	for _, move := range []struct{ name, do, back string }{
		{"drain", pair.Agent + " drain", pair.Agent + " undrain"},
		{"stop of keepalived", "systemctl stop keepalived", "systemctl start keepalived"},
		{"restart of haproxy", "systemctl restart haproxy", ""},
		{"drain back", pair.Agent + " drain", pair.Agent + " undrain"},
		{"restart of keepalived", "systemctl restart keepalived", ""},
		{"stop of haproxy", "systemctl stop haproxy", "systemctl start haproxy"},
	} {
		moved(w, move.name, pair.Service, func() {
			active.Shell(move.do)
			w.Eventually("the other one holds it", 5*time.Second, func() bool { return standby.Active() && !active.Active() })
		})
		w.Eventually("no dead connection is left on "+active.Name(), 5*time.Second, func() bool { return sessionsLeft(active) == 0 })
		if move.back != "" {
			active.Shell(move.back)
		}
		time.Sleep(time.Second)
		active, standby = standby, active
	}
}

// TestHandoverWithoutDaemon: without a daemon, as on hosts that run rlb-agent --once, a planned move loses no
// connection either.
func TestHandoverWithoutDaemon(t *testing.T) {
	w := e2e.New(t)
	active, standby := w.Pair(e2e.Spec(pair.Nodes), lab.Trixie, lab.Bookworm)
	holdACKs(w)
	for _, move := range []struct{ name, do, back string }{
		{"restart of haproxy", "systemctl restart haproxy", ""},
		{"stop of keepalived", "systemctl stop keepalived", "systemctl start keepalived"},
		{"stop of haproxy", "systemctl stop haproxy", "systemctl start haproxy"},
		{"drain", pair.Agent + " drain", pair.Agent + " undrain"},
		{"restart of haproxy", "systemctl restart haproxy", ""},
	} {
		report, half := handedOver(w, pair.Service, func() {
			active.Shell(move.do)
			w.Eventually("the other one holds it", 5*time.Second, func() bool { return standby.Active() && !active.Active() })
		})
		t.Logf("%s: new: %d, %d failed; half-open: %d, %d failed", move.name, report.Total, report.Failed, half.Total, half.Failed)
		if err := errors.Join(e2e.Lossless(report), e2e.Lossless(half)); err != nil {
			t.Errorf("%s: %v", move.name, err)
		}
		if move.back != "" {
			active.Shell(move.back)
		}
		w.Eventually(active.Name()+" is a backup", 5*time.Second, func() bool { return backup(active) && active.FaultFlag(false) })
		time.Sleep(time.Second)
		active, standby = standby, active
	}
}

// holdACKs makes the client open half-open connections, and reuse each port within some seconds: a host that held the
// virtual IPs before the last move has a TIME_WAIT for most of these ports (RFC 9293 §3.6.1), and must not answer with
// it.
func holdACKs(w *e2e.World) {
	w.Helper()
	if err := w.Client.HoldACKs(w.Context()); err != nil {
		w.Fatal(err)
	}
	if out, err := w.Client.Command(w.Context(), "sysctl", "-w", "net.ipv4.ip_local_port_range=40000 40599").CombinedOutput(); err != nil {
		w.Fatalf("%v\n%s", err, out)
	}
}

// moved fails the test if a planned move costs a new or half-open connection, or does not notify an idle one. It does
// not repeat the measurement on a busy machine, because the virtual IP has already moved then.
func moved(w *e2e.World, name, target string, move func()) {
	w.Helper()
	quiet, err := w.Client.LongConn(w.Context(), target)
	if err != nil {
		w.Fatal(err)
	}
	defer quiet.Close()
	var over time.Time
	report, half := handedOver(w, target, func() { move(); over = time.Now() })
	w.Logf("%s: new: %d, %d failed: %v, itself late by %v; half-open: %d, %d failed: %v", name, report.Total, report.Failed, report.Errors,
		report.Late.Round(time.Millisecond), half.Total, half.Failed, half.Errors)
	if err := errors.Join(e2e.Lossless(report), e2e.Lossless(half)); err != nil {
		w.Errorf("%s: %v", name, err)
	}
	select {
	case <-quiet.Done():
		at, _, err := quiet.Cut()
		w.Logf("%s: a quiet client was told %v after the end: %v", name, at.Sub(over).Round(time.Millisecond), err)
		if at.Sub(over) > 2500*time.Millisecond {
			w.Errorf("%s: a quiet client is told late", name)
		}
	case <-time.After(5 * time.Second):
		w.Errorf("%s: a quiet client is not told", name)
	}
}

// handedOver probes with plain and with half-open connections during do.
func handedOver(w *e2e.World, target string, do func()) (report, half lab.Report) {
	w.Helper()
	clients, err := pair.StartClients(w.Context(), w.Client, pair.ClientOptions{Target: target, Every: 10 * time.Millisecond, Half: 25 * time.Millisecond})
	if err != nil {
		w.Fatal(err)
	}
	defer clients.End()
	do()
	time.Sleep(500 * time.Millisecond)
	return clients.Stop()
}

// lonelyACK sends an ACK of no connection to port 9000 of an address, and prints "reset" if a RST answers.
const lonelyACK = `use Socket; my ($from, $to) = map inet_aton($_), @ARGV; my $port = 45000 + int rand 1000;
my $tcp = pack("nnNNCCnnn", $port, 9000, 1, 1, 0x50, 0x10, 1024, 0, 0);
my $sum = 0; $sum += $_ for unpack("n*", $from . $to . pack("nn", 6, length $tcp) . $tcp);
$sum = ($sum & 0xffff) + ($sum >> 16) for 1 .. 2;
substr($tcp, 16, 2) = pack("n", ~$sum & 0xffff);
socket(S, PF_INET, SOCK_RAW, 6) or die $!; bind(S, pack_sockaddr_in(0, $from)) or die $!;
send(S, $tcp, 0, pack_sockaddr_in(0, $to)) or die $!;
setsockopt(S, SOL_SOCKET, SO_RCVTIMEO, pack("l!l!", 0, 300000)) or die $!;
while (defined recv(S, my $in, 1500, 0)) { my ($s, $d, $f) = unpack("x20nnx9C", $in); print("reset"), last if $s == 9000 && $d == $port && $f & 4 }
`

// TestHandoverCases: for each way to advertise and each bind of HAProxy, a planned move loses nothing in either
// direction. A goodbye from a stranger moves no packet. A host without a successor does not wait for one.
func TestHandoverCases(t *testing.T) {
	w := e2e.New(t)
	all := w.Hosts(true, lab.Trixie, lab.Bookworm, lab.Trixie)
	for i, h := range all {
		h.Shell(fmt.Sprintf("ip address add 2001:db8::1%d/64 dev eth0 nodad", i+1))
	}
	if out, err := w.Client.Command(t.Context(), "ip", "address", "add", "2001:db8::50/64", "dev", "eth0", "nodad").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	holdACKs(w)
	const (
		nodes6   = "nodes:\n- {name: lb1, addresses: [\"2001:db8::11\"]}\n- {name: lb2, addresses: [\"2001:db8::12\"]}\n"
		prefers1 = "nodes:\n- {name: lb1, addresses: [198.51.100.11], priority: 200}\n- {name: lb2, addresses: [198.51.100.12], priority: 100}\nvrrp: {preempt: true}\n"
		lb3      = "\n- {name: lb3, addresses: [198.51.100.13]}\n"
		unicast  = "\nvrrp: {transport: unicast}\n"
		v6       = "[2001:db8::100]:9000"
	)
	bound := func(text, vip string) string {
		return strings.Replace(text, "  port: 9000", "  port: 9000\n  bind: \""+vip+"\"", 1)
	}
	vips := func(text, list string) string { return strings.Replace(text, "["+pair.VIP+"]", "["+list+"]", 1) }
	holds := func(h *e2e.Host) bool {
		return holdsOf(h, append(addressRange(pair.VIP, 1), addressRange("2001:db8::100", 1)...)) > 0
	}
	// settled runs a spec on some of the hosts, and returns the holder of the virtual IPs.
	settled := func(w *e2e.World, text string, hosts []*e2e.Host) (active *e2e.Host) {
		for _, h := range all {
			h.Shell("systemctl stop rlb-agent; systemctl stop --no-block keepalived")
		}
		for _, h := range hosts {
			h.WriteSpec(text)
			h.Shell("systemctl stop keepalived; systemctl start rlb-agent")
		}
		w.Eventually("all are as the spec says, and one holds the virtual IPs", 60*time.Second, func() bool {
			var n int
			for _, h := range hosts {
				if code, out := h.RunAgent("--once"); code != 0 || !strings.Contains(out, "nothing to do") || !h.FaultFlag(false) {
					return false
				}
				if holds(h) {
					active, n = h, n+1
				}
			}
			return n == 1
		})
		return active
	}
	cases := w.NewCases(func(*e2e.World) {})
	for _, c := range []struct {
		name, spec, target string
		hosts              int
	}{
		{"IPv6", vips(e2e.Spec(nodes6), `"2001:db8::100"`), v6, 2},
		{"IPv6, bound to the virtual IP", bound(vips(e2e.Spec(nodes6), `"2001:db8::100"`), "2001:db8::100"), v6, 2},
		{"both families", vips(e2e.Spec(), pair.VIP+`, "2001:db8::100"`), v6, 2},
		{"unicast", e2e.Spec(pair.Nodes + unicast), pair.Service, 2},
		{"nodes unknown", e2e.Spec(), pair.Service, 2},
		{"bound to the virtual IP", bound(e2e.Spec(pair.Nodes), pair.VIP), pair.Service, 2},
		{"back to the higher priority", e2e.Spec(prefers1), pair.Service, 2},
		{"three hosts", e2e.Spec(pair.Nodes + lb3), pair.Service, 3},
	} {
		cases.Run(c.name, func(w *e2e.World) {
			active := settled(w, c.spec, all[:c.hosts])
			if strings.Contains(c.spec, "preempt") {
				active = all[0]
				w.Eventually("the higher priority holds it", 5*time.Second, func() bool { return holds(all[0]) && !holds(all[1]) })
			}
			for _, way := range []string{"there", "back"} {
				next := active
				moved(w, way, c.target, func() {
					active.Shell(pair.Agent + " drain")
					w.Eventually("another one holds it", 5*time.Second, func() bool {
						for _, h := range all[:c.hosts] {
							if h != active && holds(h) {
								next = h
							}
						}
						return next != active && !holds(active)
					})
				})
				undrain := func() { active.Shell(pair.Agent + " undrain") }
				if !strings.Contains(c.spec, "preempt") {
					undrain()
					time.Sleep(time.Second) // until it is a standby again
					active = next
					continue
				}
				moved(w, "back by undrain", c.target, func() {
					undrain()
					w.Eventually("fail back", 5*time.Second, func() bool { return holds(active) && !holds(next) })
				})
				return
			}
		})
	}
	for _, c := range []struct {
		name, spec string
		deaf       bool // the firewall drops the advertisements of the stranger
	}{
		{"a stranger", bound(e2e.Spec(pair.Nodes), pair.VIP), true},
		{"a stranger where nodes are unknown", bound(e2e.Spec(), pair.VIP), false},
	} {
		cases.Run(c.name, func(w *e2e.World) {
			active := settled(w, c.spec, all[:2])
			standby := all[0]
			if active == standby {
				standby = all[1]
			}
			long, err := w.Client.LongConn(t.Context(), pair.Service)
			if err != nil {
				w.Fatal(err)
			}
			defer long.Close()
			report, half := handedOver(w, pair.Service, func() {
				for _, priority := range []string{"1", "0"} {
					if out, err := w.Client.Command(t.Context(), "perl", "-e", rogue, "198.51.100.50", "224.0.0.18", priority).CombinedOutput(); err != nil {
						w.Errorf("%v\n%s", err, out)
					}
					if out := standby.Shell("nft list map ip rlb_handover peer"); strings.Contains(out, "198.51.100.50") {
						w.Errorf("after priority %s the standby would forward to a stranger:\n%s", priority, out)
					}
					if out := active.Shell("nft list set ip rlb_handover armed"); c.deaf && strings.Contains(out, "expires") {
						w.Errorf("priority %s from a stranger arms the holder:\n%s", priority, out)
					}
				}
			})
			w.Logf("new: %d, %d failed: %v; half-open: %d, %d failed: %v", report.Total, report.Failed, report.Errors, half.Total, half.Failed, half.Errors)
			if !c.deaf { // keepalived obeys the goodbye: a station that can forge one can move the virtual IP
				return
			}
			if err := errors.Join(e2e.Lossless(report), e2e.Lossless(half)); err != nil {
				w.Error(err)
			}
			if _, cut, err := long.Cut(); cut {
				w.Errorf("an established connection is lost: %v", err)
			}
		})
	}
	cases.Run("reboot", func(w *e2e.World) {
		active := settled(w, e2e.Spec(pair.Nodes), all[:2])
		active.Shell("systemctl enable rlb-agent")
		report, half := handedOver(w, pair.Service, func() {
			if err := active.Reboot(t.Context()); err != nil {
				w.Fatal(err)
			}
		})
		w.Logf("new: %d, %d failed: %v; half-open: %d, %d failed: %v", report.Total, report.Failed, report.Errors, half.Total, half.Failed, half.Errors)
		if err := errors.Join(e2e.Lossless(report), e2e.Lossless(half)); err != nil {
			w.Error(err)
		}
		for _, trace := range []string{"nft list table ip rlb_handover", "ip route list table local proto 219 | grep " + pair.VIP, "grep -x 1 /proc/sys/net/ipv4/conf/eth0/arp_ignore"} {
			if _, err := active.Sh(t.Context(), trace); err != nil {
				w.Errorf("after the boot: %v", err)
			}
		}
	})
	cases.Run("an edit that moves it", func(w *e2e.World) {
		settled(w, e2e.Spec(prefers1), all[:2])
		w.Eventually("the higher priority holds it", 5*time.Second, func() bool { return holds(all[0]) && !holds(all[1]) })
		moved(w, "edit", pair.Service, func() {
			for _, h := range all[:2] {
				h.WriteSpec(strings.NewReplacer("priority: 200", "priority: 100", "priority: 100", "priority: 200").Replace(e2e.Spec(prefers1)))
			}
			w.Eventually("the other one holds it", 20*time.Second, func() bool { return holds(all[1]) && !holds(all[0]) })
		})
	})
	cases.Run("a packet of no connection", func(w *e2e.World) {
		a := settled(w, e2e.Spec(pair.Nodes, "firewall: {allowFrom: [203.0.113.0/24]}"), all[:2])
		b := all[0]
		if a == b {
			b = all[1]
		}
		answered := func() bool {
			out, err := w.Client.Command(t.Context(), "perl", "-e", lonelyACK, "198.51.100.50", pair.VIP).CombinedOutput()
			if err != nil {
				w.Fatalf("%v\n%s", err, out)
			}
			return string(out) == "reset"
		}
		move := func(from, to *e2e.Host) {
			from.Shell(pair.Agent + " drain")
			w.Eventually("the other one holds it", 5*time.Second, func() bool { return to.Active() && !from.Active() })
		}
		const open = "systemctl stop rlb-agent; iptables -D INPUT -j RLB-INPUT"
		a.Shell(open)
		if move(a, b); !answered() {
			w.Error("it is not forwarded past the firewall of the new holder: the test shows nothing")
		}
		a.Shell("systemctl start rlb-agent; " + pair.Agent + " --once; " + pair.Agent + " undrain; sleep 1")
		if move(b, a); answered() {
			w.Error("the former holder answers a client that is not in allowFrom")
		}
		b.Shell(open + "; " + pair.Agent + " undrain; sleep 0.3")
		a.Shell(open)
		if move(a, b); !answered() {
			w.Error("after two moves, it goes round between two hosts")
		}
		a.Shell("systemctl start rlb-agent; " + pair.Agent + " undrain")
		b.Shell("systemctl start rlb-agent")
	})
	cases.Run("another interface on the network", func(w *e2e.World) { // such as Wi-Fi beside a cable
		active := settled(w, e2e.Spec(pair.Nodes), all[:2])
		standby := all[0]
		if active == standby {
			standby = all[1]
		}
		standby.Shell("ip link add link eth0 name other type macvlan mode bridge; ip address add 198.51.100.62/24 dev other; ip link set other up")
		defer standby.Shell("ip link delete other")
		mac := strings.TrimSpace(standby.Shell("cat /sys/class/net/other/address"))
		out, err := w.Client.Command(t.Context(), "arping", "-I", "eth0", "-c", "20", "-w", "2", pair.VIP).CombinedOutput()
		if answers := strings.ToLower(string(out)); !strings.Contains(answers, "reply from") || strings.Contains(answers, mac) {
			w.Errorf("%v, a standby must not answer for the virtual IP with %s:\n%s", err, mac, out)
		}
	})
	cases.Run("alone", func(w *e2e.World) {
		h := all[0]
		settled(w, e2e.Spec(pair.Nodes), []*e2e.Host{h})
		w.Judge("restart of HAProxy on a lone host", func() (lab.Report, error) {
			report := w.Probe(3*time.Second, func() { h.Shell("systemctl restart haproxy") })
			return report, e2e.Within(report, time.Second)
		})
	})
}
