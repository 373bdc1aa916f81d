package link

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// Challenge sends a SYN from an address of this host in the name of a connection that another host had. The client says
// where its connection is, whatever the number of the SYN (RFC 5961 §4.2), and the kernel of this host, which knows
// nothing of it, answers with a RST that the client believes. A client whose connection is over sends a RST, and nothing
// happens to a connection that this host does have.
func Challenge(client, server netip.AddrPort) error {
	if err := challenge(client, server); err != nil {
		return fmt.Errorf("cannot ask %v for its connection to %v: %w", client, server, err)
	}
	return nil
}

func challenge(client, server netip.AddrPort) error {
	family := unix.AF_INET
	if server.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_TCP)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd) //nolint:errcheck // a segment that was sent is on its way
	if err := unix.Bind(fd, socketAddress(server.Addr(), 0, 0)); err != nil {
		return os.NewSyscallError("bind", err)
	}
	var number [4]byte
	_, _ = rand.Read(number[:]) // it never fails
	segment := tcpSegment(server, client, binary.BigEndian.Uint32(number[:]), flagSYN, nil)
	return os.NewSyscallError("sendto", unix.Sendto(fd, segment, 0, socketAddress(client.Addr(), 0, 0)))
}
