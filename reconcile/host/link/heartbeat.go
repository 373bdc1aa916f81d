package link

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	protocolUDP = 17
	udpTarget   = 2 // offset of the target port in the datagram
	udpEnd      = 8
)

// HearHeartbeats calls heard with the source MAC and the payload of each datagram that another machine's SendHeartbeat
// sends to this port, until ctx ends, whether or not the firewall drops it. Every host on the link can send one, from any
// MAC.
func HearHeartbeats(ctx context.Context, iface string, port uint16, heard func(mac string, payload uint64)) error {
	if err := hearHeartbeats(ctx, iface, port, heard); err != nil {
		return fmt.Errorf("cannot hear heartbeats on %s: %w", iface, err)
	}
	return nil
}

func hearHeartbeats(ctx context.Context, iface string, port uint16, heard func(mac string, payload uint64)) error {
	l, err := lookAt(iface)
	if err != nil {
		return err
	}
	handle := func(frame []byte) bool {
		from := net.HardwareAddr(frame[frameSource:][:6])
		if payload, ok := parseHeartbeat(frame); ok && l.foreign(from) {
			heard(from.String(), payload)
		}
		return false
	}
	v4, err := open(l, typeIPv4, heartbeatsByIPv4(port))
	if err != nil {
		return err
	}
	v6, err := open(l, typeIPv6, heartbeatsByIPv6(port))
	if err != nil {
		v4.file.Close()
		return err
	}
	return gather(ctx, source{v4, handle}, source{v6, handle})
}

func heartbeatsByIPv4(port uint16) program {
	var p program
	p.need(octet, ip4Protocol, protocolUDP)
	p.need(octet, ip4TTL, 255)
	p.refuseFragments()
	p.add(bpf.LoadMemShift{Off: frameHeader}) // the length of the IP header
	p.add(bpf.LoadIndirect{Off: frameHeader + udpTarget, Size: half})
	p.needLoaded(uint32(port))
	p.keep()
	return p
}

func heartbeatsByIPv6(port uint16) program {
	var p program
	p.need(octet, ip6Next, protocolUDP)
	p.need(octet, ip6Hops, 255)
	p.need(half, ip6End+udpTarget, uint32(port))
	p.keep()
	return p
}

// parseHeartbeat parses a datagram of eight octets. It ignores the checksum: between virtual machines on one computer the
// virtual network card leaves it unset.
func parseHeartbeat(frame []byte) (payload uint64, ok bool) {
	_, _, datagram, ok := payload4(frame, protocolUDP)
	if !ok {
		_, _, datagram, ok = payload6(frame, protocolUDP)
	}
	if !ok || len(datagram) != udpEnd+8 || int(binary.BigEndian.Uint16(datagram[4:])) != len(datagram) {
		return 0, false
	}
	return binary.BigEndian.Uint64(datagram[udpEnd:]), true
}

// SendHeartbeat sends a UDP datagram of eight octets from an address of an interface to each of these addresses, unicast or
// multicast, of the same family. Its TTL is 255, like that of VRRP (RFC 9568 §5.1.1.3), so a receiver can tell that no
// router forwarded it.
func SendHeartbeat(iface string, from netip.Addr, to []netip.Addr, port uint16, payload uint64) error {
	if err := sendHeartbeat(iface, from, to, port, binary.BigEndian.AppendUint64(nil, payload)); err != nil {
		return fmt.Errorf("cannot send a heartbeat from %v on %s: %w", from, iface, err)
	}
	return nil
}

func sendHeartbeat(iface string, from netip.Addr, to []netip.Addr, port uint16, payload []byte) error {
	i, err := net.InterfaceByName(iface)
	if err != nil {
		return err
	}
	family := unix.AF_INET
	if from.Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd) //nolint:errcheck // a datagram that was sent is on its way
	if err := onLinkOnly(fd, family, i); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if err := unix.Bind(fd, socketAddress(from, 0, i.Index)); err != nil {
		return os.NewSyscallError("bind", err)
	}
	var failed []error
	for _, addr := range to {
		if err := unix.Sendto(fd, payload, 0, socketAddress(addr, port, i.Index)); err != nil {
			failed = append(failed, fmt.Errorf("to %v: %w", addr, err))
		}
	}
	return errors.Join(failed...)
}

// onLinkOnly makes a socket send its datagrams through one interface, with a TTL of 255 and without multicast loopback.
func onLinkOnly(fd, family int, i *net.Interface) error {
	if err := unix.BindToDevice(fd, i.Name); err != nil {
		return err
	}
	if family == unix.AF_INET {
		return errors.Join(
			unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, 255),
			unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, 255),
			unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 0),
			unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(i.Index)}), // #nosec G115 -- the kernel's own
		)
	}
	return errors.Join(
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, 255),
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255),
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 0),
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, i.Index),
	)
}

func socketAddress(addr netip.Addr, port uint16, index int) unix.Sockaddr {
	if addr.Is4() {
		return &unix.SockaddrInet4{Port: int(port), Addr: addr.As4()}
	}
	to := &unix.SockaddrInet6{Port: int(port), Addr: addr.As16()}
	if addr.IsLinkLocalUnicast() || addr.IsLinkLocalMulticast() {
		to.ZoneId = uint32(index) // #nosec G115 -- the kernel's own
	}
	return to
}
