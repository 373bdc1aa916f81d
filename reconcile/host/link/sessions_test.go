package link

import (
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
)

// TestSessions: a connection counts until both ends have closed it. SweepSessions removes TIME_WAIT, and no live
// connection.
func TestSessions(t *testing.T) {
	if os.Getuid() != 0 {
		skipFor(t, "destroying sockets needs root")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	addrs, ports := []netip.Addr{netip.MustParseAddr("127.0.0.1")}, []uint16{listener.Addr().(*net.TCPAddr).AddrPort().Port()}
	connect := func() (client, server net.Conn) {
		client, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).Dial("tcp", listener.Addr().String())
		if err == nil {
			server, err = listener.Accept()
		}
		if err != nil {
			t.Fatal(err)
		}
		return client, server
	}
	counts := func(what string, want int) {
		t.Helper()
		var n int
		for range 100 {
			if n, err = CountSessions(addrs, ports); err == nil && n == want {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Errorf("%s: %d connections, want %d: %v", what, n, want, err)
	}
	counts("none", 0)
	client, server := connect()
	other, kept := connect()
	defer other.Close()
	defer kept.Close() // used to the end: the garbage collector would close it
	counts("two", 2)
	server.Close() // closed first, so TIME_WAIT is on the server's side
	client.Close()
	counts("one closed", 1)
	if err := SweepSessions(addrs, ports); err != nil {
		t.Fatal(err)
	}
	if _, err := kept.Write([]byte("x")); err != nil {
		t.Errorf("a connection that lives was swept away: %v", err)
	}
	counts("swept", 1)
	if n, err := EndSessions(addrs, ports); n != 1 || err != nil {
		t.Errorf("ended %d: %v", n, err)
	}
	counts("ended", 0)
	if _, err := other.Read(make([]byte, 2)); err == nil {
		_, err = other.Read(make([]byte, 2))
		if err == nil {
			t.Error("the peer is not told")
		}
	}
}

// TestSendHeartbeat: a heartbeat reaches a UDP socket from the given source address.
func TestSendHeartbeat(t *testing.T) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if os.Getuid() != 0 {
		skipFor(t, "binding to an interface needs root")
	}
	from := netip.MustParseAddr("127.0.0.3")
	if err := SendHeartbeat("lo", from, []netip.Addr{netip.MustParseAddr("127.0.0.1")}, conn.LocalAddr().(*net.UDPAddr).AddrPort().Port(), 0x726c6262656174f0); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	got := make([]byte, 16)
	n, sender, err := conn.ReadFromUDPAddrPort(got)
	if err != nil || string(got[:n]) != "rlbbeat\xf0" || sender.Addr() != from {
		t.Errorf("got %q from %v: %v", got[:n], sender, err)
	}
	if err := SendHeartbeat("nosuch0", from, nil, 9, 0); err == nil {
		t.Error("sent on an interface that is not there")
	}
}
