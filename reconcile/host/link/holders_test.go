package link

import (
	"context"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// in runs f in the namespace in the background; f must return when ctx ends. end cancels ctx and waits for f.
func (s space) in(ctx context.Context, f func(context.Context) error) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan bool)
	go func() {
		defer close(ended)
		s.do(func() error { return f(ctx) })
	}()
	return func() { cancel(); <-ended }
}

// until repeats do until its effect arrives on the channel, for up to 5 seconds.
func until[T any](t *testing.T, come <-chan T, do func()) T {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		do()
		select {
		case v := <-come:
			return v
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Fatal("it never came")
	panic("unreachable")
}

// next returns the next value from the channel.
func next[T any](t *testing.T, come <-chan T) T {
	t.Helper()
	return until(t, come, func() {})
}

func TestWatchHolders(t *testing.T) {
	a, b := cable(t)
	vips := addrs("198.51.100.100", "2001:db8::100")
	found := make(chan claim, 100)
	end := a.in(t.Context(), func(ctx context.Context) error {
		return WatchHolders(ctx, "eth", vips, func(addr netip.Addr, mac net.HardwareAddr, alone bool) { found <- claim{addr, mac, alone} })
	})
	defer end()
	announce := func(s space, addr netip.Addr) {
		t.Helper()
		s.do(func() error { return Announce("eth", []netip.Addr{addr}) })
	}
	until(t, found, func() { announce(b, vips[0]) }) // the watch has started
	for len(found) > 0 {
		<-found
	}
	for _, vip := range vips {
		// our own announcements, and those of other addresses, are ignored
		announce(a, vip)
		announce(b, netip.MustParseAddr("198.51.100.2"))
		announce(b, netip.MustParseAddr("2001:db8::2"))
		quickest := time.Hour
		for range 3 { // the machine can be busy with something else
			began := time.Now()
			announce(b, vip)
			c := next(t, found)
			quickest = min(quickest, time.Since(began))
			if c.addr != vip || c.mac.String() != macB || c.alone {
				t.Errorf("%+v", c)
			}
			if vip.Is4() {
				next(t, found) // the announcement's second half
			}
		}
		// and an announcement to us alone
		b.do(func() error {
			to, err := net.ParseMAC(macA)
			if err != nil {
				return err
			}
			return AnnounceTo("eth", []netip.Addr{vip}, to)
		})
		if c := next(t, found); c.addr != vip || !c.alone {
			t.Errorf("%+v", c)
		}
		if vip.Is4() {
			next(t, found)
		}
		if t.Logf("%s was noticed after %s", vip, quickest); quickest > 100*time.Millisecond {
			t.Errorf("%s was noticed after %s", vip, quickest)
		}
	}
	// a claim by a kernel: an ARP request from the address
	b.ip("address flush dev eth", "address add 198.51.100.100/24 dev eth")
	b.do(func() error {
		conn, err := net.Dial("udp4", "198.51.100.1:9")
		if err == nil {
			_, err = conn.Write([]byte{0})
			conn.Close()
		}
		return err
	})
	if c := next(t, found); c.addr != vips[0] || c.mac.String() != macB {
		t.Errorf("%s at %s", c.addr, c.mac)
	}
	// a virtual router's MAC belongs to no host
	virtual := "00:00:5e:00:01:33"
	b.ip("link set eth down", "link set eth address "+virtual, "link set eth up")
	if c := until(t, found, func() { announce(b, vips[0]) }); c.mac.String() != virtual {
		t.Errorf("%s at %s", c.addr, c.mac)
	}
}

// TestAnnounceOverrides: an announcement overrides the neighbour tables of other hosts.
func TestAnnounceOverrides(t *testing.T) {
	a, b := cable(t)
	for _, entry := range []string{"198.51.100.100", "2001:db8::100"} {
		b.ip("neighbour add " + entry + " lladdr 02:00:00:00:00:77 dev eth nud reachable")
		a.do(func() error { return Announce("eth", addrs(entry)) })
		for deadline := time.Now().Add(5 * time.Second); !strings.Contains(b.ip("neighbour show "+entry+" dev eth"), macA); {
			if time.Now().After(deadline) {
				t.Fatalf("%s is still at another", entry)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	a.do(func() error {
		wantError(t, Announce("nosuch0", addrs("198.51.100.100")), "cannot announce [198.51.100.100] on nosuch0: there is no interface nosuch0")
		return nil
	})
}

// TestQuiet: no unrelated traffic passes the filters, so it wakes no program.
func TestQuiet(t *testing.T) {
	a, b := cable(t)
	var watching []*socket
	a.do(func() error {
		l, err := lookAt("eth")
		if err != nil {
			return err
		}
		arp, ndp, err := openClaims(l, addrs("198.51.100.100"), addrs("2001:db8::100"))
		if err != nil {
			return err
		}
		v4, err := openAdverts(l, id3)
		if err != nil {
			return err
		}
		v6, err := openAdverts(l, id6)
		watching = []*socket{arp, ndp, v4, v6}
		return err
	})
	passed := func() (n [4]uint32) {
		for i, s := range watching {
			raw, err := s.file.SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			if err := raw.Control(func(fd uintptr) {
				stats, err := unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS)
				if err != nil {
					t.Error(err)
					return
				}
				n[i] = stats.Packets
			}); err != nil {
				t.Fatal(err)
			}
		}
		return n
	}
	noise := func(s space, other string) {
		for range 5 {
			s.do(func() error {
				_, err := Neighbours(t.Context(), "eth", addrs("198.51.100."+other, "2001:db8::"+other, "198.51.100.100"), nil, 20*time.Millisecond)
				return err
			})
		}
		s.do(func() error {
			for _, to := range []string{"198.51.100." + other, "[2001:db8::" + other + "]"} {
				conn, err := net.Dial("udp", to+":9")
				if err != nil {
					return err
				}
				for range 100 {
					_, _ = conn.Write([]byte("hello")) // nothing listens
				}
				conn.Close()
			}
			return Announce("eth", addrs("198.51.100.99"))
		})
		send(s, typeIPv4, bytesOf(advert2), bytesOf(advertU))
	}
	noise(a, "2")
	noise(b, "1")
	if n := passed(); n != [4]uint32{} {
		t.Errorf("%v frames passed", n)
	}
	b.do(func() error { return AnnounceTo("eth", addrs("198.51.100.100"), macOfA(t)) })
	b.do(func() error { return Announce("eth", addrs("2001:db8::100")) })
	send(b, typeIPv4, bytesOf(advert3))
	send(b, typeIPv6, bytesOf(advert6))
	if n := passed(); n != [4]uint32{2, 1, 1, 1} {
		t.Errorf("%v frames passed", n)
	}
	for _, s := range watching {
		s.file.Close()
	}
}

// send sends frames from a host's interface "eth".
func send(s space, etherType uint16, frames ...[]byte) {
	s.t.Helper()
	sendBy(s, "eth", etherType, frames...)
}

func sendBy(s space, iface string, etherType uint16, frames ...[]byte) {
	s.t.Helper()
	s.do(func() error {
		l, err := lookAt(iface)
		if err != nil {
			return err
		}
		var nothing program
		nothing.drop()
		out, err := open(l, etherType, nothing)
		if err != nil {
			return err
		}
		defer out.file.Close()
		for _, frame := range frames {
			if err := out.send(frame); err != nil {
				return err
			}
		}
		return nil
	})
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// wantClosed waits until this process has only so many open files. Some sockets are closed in the background.
func wantClosed(t *testing.T, files int) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); openFiles(t) > files; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("open files are left")
		}
	}
}

// TestEnds: when ctx ends or the interface goes down, all watches return, and leave no goroutine and no open file.
func TestEnds(t *testing.T) {
	a, _ := cable(t)
	vips := addrs("198.51.100.100", "2001:db8::100")
	watches := []func(context.Context) error{
		func(ctx context.Context) error {
			return WatchHolders(ctx, "eth", vips, func(netip.Addr, net.HardwareAddr, bool) {})
		},
		func(ctx context.Context) error { return HearAdverts(ctx, "eth", id3, func(Advert) {}) },
		func(ctx context.Context) error { return HearAdverts(ctx, "eth", id6, func(Advert) {}) },
		func(ctx context.Context) error { return HearAdmitted(ctx, "eth", id3, func(Advert) {}) },
		func(ctx context.Context) error { return HearAdmitted(ctx, "eth", id6, func(Advert) {}) },
		func(ctx context.Context) error { return WatchAddresses(ctx, func() {}) },
	}
	before, files := runtime.NumGoroutine(), openFiles(t)
	for range 3 {
		for _, watch := range watches {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			a.do(func() error { return watch(ctx) })
			cancel()
		}
	}
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
	if n := openFiles(t); n != files {
		t.Errorf("%d open files, %d before", n, files)
	}
	errs := make(chan error)
	end := a.in(t.Context(), func(ctx context.Context) error { errs <- watches[0](ctx); return nil })
	defer end()
	err := until(t, errs, func() { a.ip("link set eth up", "link set eth down") })
	wantError(t, err, "cannot watch for other holders on eth: read packet socket on eth: network is down")
	a.do(func() error {
		for i, want := range []string{"cannot watch for other holders on eth: read packet socket on eth: network is down",
			"cannot hear VRRP advertisements on eth: read packet socket on eth: network is down"} {
			wantError(t, watches[i](t.Context()), want)
		}
		return nil
	})
}

func macOfA(t testing.TB) net.HardwareAddr {
	t.Helper()
	mac, err := net.ParseMAC(macA)
	if err != nil {
		t.Fatal(err)
	}
	return mac
}
