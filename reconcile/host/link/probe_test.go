package link

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// targetAt returns a target on host b of a cable, asked from host a's own address.
func targetAt(t testing.TB, to string) Target {
	t.Helper()
	mac, err := net.ParseMAC(macB)
	if err != nil {
		t.Fatal(err)
	}
	target := Target{MAC: mac, From: netip.MustParseAddr("198.51.100.1"), To: netip.MustParseAddrPort(to)}
	if target.To.Addr().Is6() {
		target.From = netip.MustParseAddr("2001:db8::1")
	}
	return target
}

// both holds a virtual IP of each family.
var both = []string{"198.51.100.100", "2001:db8::100"}

// serve listens on a port of the virtual IPs in a namespace, and reports the connections that a program accepts.
func serve(t *testing.T, s space, port string) (accepted chan string) {
	t.Helper()
	accepted = make(chan string, 10)
	s.do(func() error {
		for _, vip := range both {
			listener, err := net.Listen("tcp", net.JoinHostPort(vip, port))
			if err != nil {
				return err
			}
			t.Cleanup(func() { listener.Close() })
			go func() {
				for {
					conn, err := listener.Accept()
					if err != nil {
						return
					}
					accepted <- vip
					conn.Close()
				}
			}()
		}
		return nil
	})
	return accepted
}

func (s space) probe(patience time.Duration, targets ...Target) (replies []Reply) {
	s.t.Helper()
	s.do(func() (err error) {
		replies, err = Probe(s.t.Context(), "eth", targets, patience)
		return err
	})
	return replies
}

// TestProbe: another holder of the address accepts, by its kernel, on a served port, and refuses on another. No program
// there sees a connection, and no firewall here blocks the probe.
func TestProbe(t *testing.T) {
	a, b := cable(t)
	for _, s := range []space{a, b} { // both hosts hold the addresses
		s.ip("address add 198.51.100.100/32 dev eth", "address add 2001:db8::100/128 dev eth nodad")
	}
	accepted := serve(t, b, "6443")
	serve(t, a, "80")                // our own service must not answer for the other host
	const patience = 5 * time.Second // a lost packet is sent again after a second
	ask := func() {
		t.Helper()
		for _, vip := range both {
			began := time.Now()
			got := a.probe(patience, targetAt(t, net.JoinHostPort(vip, "6443")), targetAt(t, net.JoinHostPort(vip, "80")))
			if want := []Reply{Accepted, Refused}; !slices.Equal(got, want) || time.Since(began) >= patience {
				t.Errorf("%s: %v after %s", vip, got, time.Since(began))
			}
		}
	}
	ask()
	for _, program := range []string{"iptables", "ip6tables"} {
		if _, err := exec.LookPath(program); err != nil {
			skipFor(t, "a firewall needs "+program)
		}
		a.run(program, "-A INPUT -p tcp -j DROP", "-A OUTPUT -p tcp -j DROP")
	}
	ask()
	for deadline := time.Now().Add(5 * time.Second); halfOpen(b) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d half-open connections are left", halfOpen(b))
		}
	}
	if len(accepted) > 0 {
		t.Errorf("a program heard of a connection to %s", <-accepted)
	}
}

// halfOpen counts the half-open connections of a host (proc(5), /proc/net/tcp, state 3).
func halfOpen(s space) (n int) {
	for _, file := range []string{"tcp", "tcp6"} {
		for line := range strings.Lines(s.run("cat", "/proc/thread-self/net/"+file)) {
			if words := strings.Fields(line); len(words) > 3 && words[3] == "03" {
				n++
			}
		}
	}
	return n
}

// TestProbeClaimant: a host that only answers for an address, or forwards for it, is silent, although this host serves
// there.
func TestProbeClaimant(t *testing.T) {
	const patience = 60 * time.Millisecond
	a, b := cable(t)
	a.ip("address add 198.51.100.100/32 dev eth", "address add 2001:db8::100/128 dev eth nodad")
	serve(t, a, "6443")
	targets := []Target{targetAt(t, "198.51.100.100:6443"), targetAt(t, "[2001:db8::100]:6443")}
	want := []Reply{Silent, Silent}
	if got := a.probe(patience, targets...); !slices.Equal(got, want) {
		t.Errorf("a host without the address: %v", got)
	}
	// a router with proxy ARP and proxy ND for all addresses, which forwards the packets back to us
	b.run("sysctl", "-qw net.ipv4.ip_forward=1", "-qw net.ipv6.conf.all.forwarding=1", "-qw net.ipv4.conf.eth.proxy_arp=1",
		"-qw net.ipv4.conf.eth.proxy_arp_pvlan=1", "-qw net.ipv6.conf.eth.proxy_ndp=1")
	b.ip("neighbour add proxy 2001:db8::100 dev eth")
	a.do(func() error {
		macs, err := Neighbours(t.Context(), "eth", addrs("198.51.100.100"), nil, 2*time.Second)
		if macs[targets[0].To.Addr()].String() != macB {
			t.Errorf("the router does not answer: %v", macs)
		}
		return err
	})
	if got := a.probe(patience, targets...); !slices.Equal(got, want) {
		t.Errorf("a router: %v", got)
	}
}

func TestProbeEnds(t *testing.T) {
	a, _ := cable(t)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	files := openFiles(t)
	a.do(func() error {
		_, err := Probe(ctx, "eth", []Target{targetAt(t, "198.51.100.99:1")}, time.Hour)
		wantError(t, err, "cannot probe a service on eth: context canceled")
		replies, err := Probe(t.Context(), "eth", nil, time.Hour)
		if len(replies) > 0 || err != nil {
			t.Errorf("%v, %v", replies, err)
		}
		bad := targetAt(t, "198.51.100.99:1")
		bad.From = netip.MustParseAddr("2001:db8::1")
		_, err = Probe(t.Context(), "eth", []Target{bad}, time.Hour)
		wantError(t, err, "cannot probe a service on eth: there is no way from 2001:db8::1 to 198.51.100.99:1 at MAC "+macB)
		_, err = Probe(t.Context(), "nosuch0", nil, time.Hour)
		wantError(t, err, "cannot probe a service on nosuch0: there is no interface nosuch0")
		return nil
	})
	wantClosed(t, files)
}

// Recorded replies of a Linux 6 kernel to a SYN, and the connections that they belong to.
const (
	synAck4 = "02000000000a 02000000000b 0800 4500002c000040004006e5ff c6336464 c6336401 192b9749f45666d08897d35e6012faf054eb0000020405b4"
	synAck6 = "02000000000a 02000000000b 86dd 6009854600180640 20010db8000000000000000000000100 20010db8000000000000000000000001 " +
		"192b84288f320580652ccfb36012fd205c910000020405a0"
)

func askedFor(t testing.TB, frame string) connection {
	t.Helper()
	if frame == synAck4 {
		return connection{Target: targetAt(t, "198.51.100.100:6443"), own: macOfA(t), port: 38729, number: 2291651421}
	}
	return connection{Target: targetAt(t, "[2001:db8::100]:6443"), own: macOfA(t), port: 33832, number: 1697435570}
}

// parsed returns what parse makes of a frame, and checks that the filter keeps every accepted frame.
func parsed(t testing.TB, c connection, frame []byte) Reply {
	t.Helper()
	reply := c.parse(frame)
	if passes := kept(t, c.filter(), frame); reply != Silent && !passes {
		t.Errorf("the filter drops frame %x, which is %v", frame, reply)
	}
	return reply
}

func TestReplies(t *testing.T) {
	for _, test := range []struct {
		to, frame string
		tcp       int // offset of the TCP segment
	}{{"IPv4", synAck4, ip4End}, {"IPv6", synAck6, ip6End}} {
		c, frame := askedFor(t, test.frame), bytesOf(test.frame)
		if got := parsed(t, c, frame); got != Accepted {
			t.Errorf("%s: %v", test.to, got)
		}
		if got := parsed(t, c, append(slices.Clone(frame), 0, 0, 0)); got != Accepted {
			t.Errorf("%s, padded: %v", test.to, got)
		}
		if got := parsed(t, c, with(frame, test.tcp+tcpFlags, flagRST|flagACK)); got != Refused {
			t.Errorf("%s: %v for a RST", test.to, got)
		}
		for _, flags := range []byte{0, flagSYN, flagACK, flagRST, flagSYN | flagACK | flagFIN, flagSYN | flagACK | flagRST} {
			if got := parsed(t, c, with(frame, test.tcp+tcpFlags, flags)); got != Silent {
				t.Errorf("%s: %v for the flags %#x", test.to, got, flags)
			}
		}
		for n := range frame {
			if got := c.parse(frame[:n]); got != Silent {
				t.Errorf("%s: %d octets are taken", test.to, n)
			}
		}
		// MACs, addresses, ports and the acknowledged number must match
		fixed := []int{6, 7, 8, 9, 10, 11, 12, 13, test.tcp, test.tcp + 1, test.tcp + 2, test.tcp + 3}
		for at := test.tcp - 2*len(c.From.AsSlice()); at < test.tcp; at++ {
			fixed = append(fixed, at)
		}
		for at := test.tcp + tcpAck; at < test.tcp+tcpAck+4; at++ {
			fixed = append(fixed, at)
		}
		for _, at := range fixed {
			if got := parsed(t, c, sum4(with(frame, at, frame[at]^1))); got != Silent {
				t.Errorf("%s: octet %d may be another", test.to, at)
			}
		}
		for name, bad := range map[string][]byte{
			"a header too short": with(frame, test.tcp+tcpOffset, 0x40), "a header too long": with(frame, test.tcp+tcpOffset, 0x70),
		} {
			if got := parsed(t, c, bad); got != Silent {
				t.Errorf("%s, %s: %v", test.to, name, got)
			}
		}
	}
	c, frame := askedFor(t, synAck4), bytesOf(synAck4)
	for name, bad := range map[string][]byte{
		"a fragment": sum4(with(frame, ip4Fragment, 0x20, 0)), "UDP": sum4(with(frame, ip4Protocol, 17)), "a wrong checksum": with(frame, ip4Sum, 0, 0),
	} {
		if got := parsed(t, c, bad); got != Silent {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// sum4 returns a frame with the correct checksum of its IPv4 header, if it has one.
func sum4(frame []byte) []byte {
	if binary.BigEndian.Uint16(frame[12:]) != typeIPv4 {
		return frame
	}
	frame = with(frame, ip4Sum, 0, 0)
	binary.BigEndian.PutUint16(frame[ip4Sum:], checksum(frame[frameHeader:ip4End]))
	return frame
}

// TestSegments: sent segments have correct checksums, and parse does not accept them as replies.
func TestSegments(t *testing.T) {
	for _, reply := range []string{synAck4, synAck6} {
		c := askedFor(t, reply)
		for _, flag := range []byte{flagSYN, flagRST} {
			frame := c.segment(flag)
			var from, target netip.Addr
			var tcp, pseudo []byte
			var ok bool
			if c.To.Addr().Is6() {
				from, target, tcp, ok = payload6(frame, protocolTCP)
				pseudo = pseudoHeader6(frame[:ip6End+len(tcp)])
			} else {
				from, target, tcp, ok = payload4(frame, protocolTCP)
				pseudo = slices.Concat(frame[ip4Source:ip4End], []byte{0, protocolTCP}, binary.BigEndian.AppendUint16(nil, uint16(len(tcp))))
			}
			if !ok || from != c.From || target != c.To.Addr() || checksum(pseudo, tcp) != 0 || tcp[tcpFlags] != flag || c.parse(frame) != Silent {
				t.Errorf("%v: %x", c.To, frame)
			}
		}
	}
}
