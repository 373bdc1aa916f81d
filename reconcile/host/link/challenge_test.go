package link

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestChallenge: a client whose connection another host had gets a reset, although its sequence numbers are unknown and
// although it sends nothing. A connection that this host has continues.
func TestChallenge(t *testing.T) {
	for _, addr := range []string{"198.51.100.2", "2001:db8::2"} {
		client, server := cable(t)
		var listener net.Listener
		server.do(func() (err error) {
			listener, err = net.Listen("tcp", net.JoinHostPort(addr, "9000"))
			return err
		})
		connect := func() (ours, theirs net.Conn) {
			client.do(func() (err error) {
				ours, err = net.DialTimeout("tcp", listener.Addr().String(), 5*time.Second)
				return err
			})
			theirs, err := listener.Accept()
			if err != nil {
				t.Fatal(err)
			}
			return ours, theirs
		}
		kept, keeper := connect()
		lost, forgotten := connect()
		defer kept.Close()
		defer keeper.Close()
		at := func(c net.Conn) netip.AddrPort { return netip.MustParseAddrPort(c.LocalAddr().String()) }

		// The server's host forgets one connection without notifying its client.
		raw, err := forgotten.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		ends := at(forgotten)
		var failed error
		if err := raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_REPAIR, 1) }); errors.Join(err, failed) != nil {
			t.Fatal(errors.Join(err, failed))
		}
		_ = forgotten.Close()
		read := func(c net.Conn, wait time.Duration) error {
			_ = c.SetReadDeadline(time.Now().Add(wait))
			_, err := c.Read(make([]byte, 1))
			return err
		}
		if err := read(lost, 300*time.Millisecond); err == nil || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("%s: the client knows already: %v", addr, err)
		}
		server.do(func() error {
			n, err := Challenge(t.Context(), maps.All(map[netip.AddrPort]netip.AddrPort{at(lost): ends, at(kept): at(keeper)}))
			if n != 2 {
				t.Errorf("%d challenges", n)
			}
			return err
		})
		if err := read(lost, 5*time.Second); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: %v, want a reset", addr, err)
		}
		if _, err := keeper.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		if err := read(kept, 5*time.Second); err != nil {
			t.Errorf("%s: a connection that is there ended: %v", addr, err)
		}
		notHere := netip.MustParseAddrPort("203.0.113.1:9000")
		if n, err := Challenge(t.Context(), maps.All(map[netip.AddrPort]netip.AddrPort{at(lost): notHere, at(kept): notHere})); n != 0 || err == nil || !strings.HasPrefix(err.Error(), "cannot ask") {
			t.Errorf("from an address that is not here: %d sent, %v", n, err)
		}
		stopped, stop := context.WithCancel(t.Context())
		stop()
		if n, err := Challenge(stopped, maps.All(map[netip.AddrPort]netip.AddrPort{at(lost): notHere})); n != 0 || !errors.Is(err, context.Canceled) {
			t.Errorf("after the end: %d sent, %v", n, err)
		}
		_ = listener.Close()
	}
}
