package link

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"iter"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	challengesAtOnce = 100              // sent without a pause
	challengePause   = time.Millisecond // pause that lets the answers through
	sendTime         = 100              // milliseconds to wait for a full queue of the interface
)

// Challenge tells clients that a connection of another host no longer exists. For each connection it sends a SYN from the
// server's address, which this host holds. The client answers with a challenge ACK, whatever the SYN's sequence number (RFC
// 5961 §4.2). The kernel of this host does not know the connection and answers with a RST, which the client accepts. A
// client without the connection sends a RST. A connection that this host does have is not affected. n is the number of SYNs
// sent; err is the first reason why others were not sent, which can be the end of ctx.
func Challenge(ctx context.Context, connections iter.Seq2[netip.AddrPort, netip.AddrPort]) (n int, err error) {
	sockets := map[netip.Addr]int{}
	defer func() {
		for _, fd := range sockets {
			_ = unix.Close(fd) // what was sent is on its way
		}
	}()
	for client, server := range connections {
		if ctx.Err() != nil {
			return n, cmp.Or(err, ctx.Err())
		}
		failed := challenge(sockets, client, server)
		if failed != nil {
			err = cmp.Or(err, fmt.Errorf("cannot ask %v for its connection to %v: %w", client, server, failed))
			continue
		}
		if n++; n%challengesAtOnce == 0 {
			time.Sleep(challengePause)
		}
	}
	return n, err
}

// challenge sends one SYN from the socket of its source address, and opens that socket if there is none yet.
func challenge(sockets map[netip.Addr]int, client, server netip.AddrPort) error {
	from := server.Addr()
	fd, made := sockets[from]
	if !made {
		var err error
		if fd, err = rawTCP(from); err != nil {
			return err
		}
		sockets[from] = fd
	}
	var number [4]byte
	_, _ = rand.Read(number[:]) // never fails
	segment := tcpSegment(server, client, binary.BigEndian.Uint32(number[:]), flagSYN, nil)
	return os.NewSyscallError("sendto", unix.Sendto(fd, segment, 0, socketAddress(client.Addr(), 0, 0)))
}

// rawTCP opens a socket for TCP segments from an address of this host.
func rawTCP(from netip.Addr) (int, error) {
	family := unix.AF_INET
	if from.Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Usec: sendTime * 1000}); err != nil {
		_ = unix.Close(fd)
		return -1, os.NewSyscallError("setsockopt", err)
	}
	if err := unix.Bind(fd, socketAddress(from, 0, 0)); err != nil {
		_ = unix.Close(fd)
		return -1, os.NewSyscallError("bind", err)
	}
	return fd, nil
}
