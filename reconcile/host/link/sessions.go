package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Lengths and places in the messages of sock_diag(7): struct inet_diag_req_v2, struct inet_diag_msg and the struct
// inet_diag_sockid that both have in them.
const (
	diagIDLength      = 48
	diagRequestLength = 8 + diagIDLength
	diagAnswerID      = 4 // place of the identity in an answer
	diagAnswerLength  = diagAnswerID + diagIDLength
)

// sessionStates are those of connections (tcp_states.h): established, SYN received, both of FIN_WAIT, CLOSE_WAIT,
// LAST_ACK and CLOSING.
const sessionStates = 1<<1 | 1<<3 | 1<<4 | 1<<5 | 1<<8 | 1<<9 | 1<<11

// session is a TCP connection of this host.
type session struct {
	family        uint8
	local, remote netip.AddrPort
	id            []byte // struct inet_diag_sockid
}

// EndSessions destroys the TCP connections whose local address is one of these and whose local port is one of these, and
// says how many there were. Each peer gets a RST, if it can be reached from that address (ss(8), -K). Connections of this
// host with itself stay.
func EndSessions(addrs []netip.Addr, ports []uint16) (n int, err error) {
	conn, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		return 0, fmt.Errorf("cannot end connections: %w", err)
	}
	defer conn.Close()
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		answers, err := conn.Execute(diagMessage(unix.SOCK_DIAG_BY_FAMILY, netlink.Dump, family, nil))
		if err != nil {
			return n, fmt.Errorf("cannot list connections: %w", err)
		}
		for _, a := range answers {
			s, ok := parseSession(a.Data)
			if !ok || !slices.Contains(addrs, s.local.Addr()) || !slices.Contains(ports, s.local.Port()) || slices.Contains(addrs, s.remote.Addr()) {
				continue
			}
			switch _, err := conn.Execute(diagMessage(unix.SOCK_DESTROY, netlink.Acknowledge, s.family, s.id)); {
			case err == nil:
				n++
			case !errors.Is(err, unix.ENOENT): // it has ended by itself
				return n, fmt.Errorf("cannot end a connection of %v with %v: %w", s.local, s.remote, err)
			}
		}
	}
	return n, nil
}

// diagMessage is a request for one connection, or for all of a family.
func diagMessage(kind netlink.HeaderType, flags netlink.HeaderFlags, family uint8, id []byte) netlink.Message {
	data := make([]byte, diagRequestLength)
	data[0], data[1] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(data[4:], sessionStates)
	copy(data[8:], id)
	return netlink.Message{Header: netlink.Header{Type: kind, Flags: netlink.Request | flags}, Data: data}
}

// parseSession reads an answer.
func parseSession(data []byte) (s session, ok bool) {
	if len(data) < diagAnswerLength {
		return s, false
	}
	s.family, s.id = data[0], data[diagAnswerID:diagAnswerLength]
	addr := func(b []byte) netip.Addr {
		if s.family == unix.AF_INET {
			b = b[:4]
		}
		a, _ := netip.AddrFromSlice(b)
		return a.Unmap()
	}
	s.local = netip.AddrPortFrom(addr(s.id[4:20]), binary.BigEndian.Uint16(s.id))
	s.remote = netip.AddrPortFrom(addr(s.id[20:36]), binary.BigEndian.Uint16(s.id[2:]))
	return s, s.family == unix.AF_INET || s.family == unix.AF_INET6
}
