package link

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Lengths and offsets in the messages of sock_diag(7): struct inet_diag_req_v2, struct inet_diag_msg, and struct
// inet_diag_sockid, which is part of both.
const (
	diagIDLength      = 48
	diagRequestLength = 8 + diagIDLength
	diagState         = 1 // offset of the state in an answer
	diagAnswerID      = 4 // offset of the identity in an answer
	diagAnswerLength  = diagAnswerID + diagIDLength
	diagWriteQueue    = diagAnswerLength + 8  // after expires and rqueue: octets that the peer has not acknowledged
	diagInode         = diagAnswerLength + 16 // after wqueue and uid: 0 if no program holds the socket
)

const stateSYNReceived = 3 // tcp_states.h

// sessionStates are the states of connections (tcp_states.h): established, SYN received, both of FIN_WAIT, TIME_WAIT,
// CLOSE_WAIT, LAST_ACK and CLOSING.
const sessionStates = 1<<1 | 1<<stateSYNReceived | 1<<4 | 1<<5 | 1<<6 | 1<<8 | 1<<9 | 1<<11

// session is a TCP connection of this host.
type session struct {
	family        uint8
	local, remote netip.AddrPort
	id            []byte // struct inet_diag_sockid
	done          bool   // no program holds it, and the peer has all data: the kernel waits for the peer's last packets
}

// EndSessions destroys the TCP connections whose local address is in addrs and whose local port is in ports. n is the
// number of those that a program still held. Each peer gets a RST if it is reachable from that address (ss(8), -K).
// Connections of this host with itself are kept.
func EndSessions(addrs []netip.Addr, ports []uint16) (n int, err error) {
	return endSessions(addrs, ports, func(session) bool { return true })
}

// SweepSessions destroys only those connections that no program holds any more, including TIME_WAIT. On a host that gave up
// the addresses they would intercept packets of a later connection from the same client port.
func SweepSessions(addrs []netip.Addr, ports []uint16) error {
	_, err := endSessions(addrs, ports, func(s session) bool { return s.done })
	return err
}

func endSessions(addrs []netip.Addr, ports []uint16, which func(session) bool) (n int, err error) {
	conn, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		return 0, fmt.Errorf("cannot end connections: %w", err)
	}
	defer conn.Close()
	return endSessionsBy(conn, addrs, ports, which)
}

// endSessionsBy goes on after an error and returns the first: a connection that was established when it was listed may be in
// TIME_WAIT now, which an older kernel refuses to destroy, and the others must not stay because of it.
func endSessionsBy(conn *netlink.Conn, addrs []netip.Addr, ports []uint16, which func(session) bool) (n int, first error) {
	for s, err := range sessions(conn, addrs, ports) {
		if err != nil {
			return n, cmp.Or(first, err)
		}
		if !which(s) {
			continue
		}
		switch _, err := conn.Execute(diagMessage(unix.SOCK_DESTROY, netlink.Acknowledge, s.family, sessionStates, s.id)); {
		case err == nil && !s.done:
			n++
		case err == nil, errors.Is(err, unix.ENOENT): // ended by itself
		case s.done && errors.Is(err, unix.EOPNOTSUPP): // an older kernel and TIME_WAIT
		case first == nil:
			first = fmt.Errorf("cannot end a connection of %v with %v: %w", s.local, s.remote, err)
		}
	}
	return n, first
}

// CountSessions counts the connections with these local addresses and ports that are not done.
func CountSessions(addrs []netip.Addr, ports []uint16) (n int, err error) {
	conn, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		return 0, fmt.Errorf("cannot count connections: %w", err)
	}
	defer conn.Close()
	for s, err := range sessions(conn, addrs, ports) {
		if err != nil {
			return n, err
		}
		if !s.done {
			n++
		}
	}
	return n, nil
}

// sessions returns the TCP connections with these local addresses and ports. It reads all connections of a family before it
// yields the first.
func sessions(conn *netlink.Conn, addrs []netip.Addr, ports []uint16) iter.Seq2[session, error] {
	return func(yield func(session, error) bool) {
		for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
			answers, err := conn.Execute(diagMessage(unix.SOCK_DIAG_BY_FAMILY, netlink.Dump, family, sessionStates, nil))
			if err != nil {
				yield(session{}, fmt.Errorf("cannot list connections: %w", err))
				return
			}
			for _, a := range answers {
				s, ok := parseSession(a.Data)
				if !ok || !slices.Contains(addrs, s.local.Addr()) || !slices.Contains(ports, s.local.Port()) || slices.Contains(addrs, s.remote.Addr()) {
					continue
				}
				if !yield(s, nil) {
					return
				}
			}
		}
	}
}

// diagMessage is a request for one socket, or for all sockets of a family in one of the states (a bit each).
func diagMessage(kind netlink.HeaderType, flags netlink.HeaderFlags, family uint8, states uint32, id []byte) netlink.Message {
	data := make([]byte, diagRequestLength)
	data[0], data[1] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(data[4:], states)
	copy(data[8:], id)
	return netlink.Message{Header: netlink.Header{Type: kind, Flags: netlink.Request | flags}, Data: data}
}

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
	if len(data) >= diagInode+4 && data[diagState] != stateSYNReceived {
		unsent := binary.NativeEndian.Uint32(data[diagWriteQueue:]) // including this host's FIN, which counts as one
		s.done = binary.NativeEndian.Uint32(data[diagInode:]) == 0 && unsent <= 1
	}
	return s, s.family == unix.AF_INET || s.family == unix.AF_INET6
}
