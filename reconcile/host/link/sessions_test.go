package link

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"github.com/mdlayher/netlink/nltest"
	"golang.org/x/sys/unix"
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

// TestEndsTheOthers: a connection that the kernel refuses to destroy does not save the connections after it.
func TestEndsTheOthers(t *testing.T) {
	answer := func(to netlink.Header, remotePort uint16) netlink.Message {
		data := make([]byte, diagInode+4)
		data[0], data[diagState] = unix.AF_INET, 1
		id := data[diagAnswerID:]
		binary.BigEndian.PutUint16(id, 6443)
		binary.BigEndian.PutUint16(id[2:], remotePort)
		copy(id[4:], []byte{198, 51, 100, 10})
		copy(id[20:], []byte{198, 51, 100, 20})
		data[diagInode] = 1 // a program holds it
		return netlink.Message{Header: netlink.Header{Sequence: to.Sequence, PID: to.PID}, Data: data}
	}
	var ended []uint16
	conn := nltest.Dial(func(requests []netlink.Message) ([]netlink.Message, error) {
		request := requests[0]
		end := netlink.Message{Header: netlink.Header{Sequence: request.Header.Sequence, PID: request.Header.PID}}
		switch {
		case request.Header.Type == unix.SOCK_DESTROY:
			remote := binary.BigEndian.Uint16(request.Data[8+2:])
			if remote == 1002 {
				return nltest.Error(int(unix.EOPNOTSUPP), requests)
			}
			ended = append(ended, remote)
			return nltest.Error(0, requests)
		case request.Data[0] == unix.AF_INET:
			return nltest.Multipart([]netlink.Message{answer(request.Header, 1001), answer(request.Header, 1002), answer(request.Header, 1003), end})
		}
		return nltest.Multipart([]netlink.Message{end, end})
	})
	defer conn.Close()
	n, err := endSessionsBy(conn, []netip.Addr{netip.MustParseAddr("198.51.100.10")}, []uint16{6443}, func(session) bool { return true })
	if !slices.Equal(ended, []uint16{1001, 1003}) || n != 2 || !errors.Is(err, unix.EOPNOTSUPP) {
		t.Errorf("ended %v, counted %d: %v", ended, n, err)
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
