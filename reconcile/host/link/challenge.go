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
	challengesAtOnce = 100              // without a pause …
	challengePause   = time.Millisecond // … which lets the answers through
	sendTime         = 100              // milliseconds that a full queue of the interface is waited for
)

// Challenge sends a SYN from an address of this host in the name of each of these connections, by client and server, which
// another host had. The client says where its connection is, whatever the number of the SYN (RFC 5961 §4.2), and the kernel
// of this host, which knows nothing of it, answers with a RST that the client believes. A client whose connection is over
// sends a RST, and nothing happens to a connection that this host does have. n is how many were sent, err the first reason
// why others were not, which may be that ctx has ended.
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

// challenge sends one from the socket of its address, which it makes where there is none.
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
	_, _ = rand.Read(number[:]) // it never fails
	segment := tcpSegment(server, client, binary.BigEndian.Uint32(number[:]), flagSYN, nil)
	return os.NewSyscallError("sendto", unix.Sendto(fd, segment, 0, socketAddress(client.Addr(), 0, 0)))
}

// rawTCP is a socket for TCP segments from an address of this host.
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
