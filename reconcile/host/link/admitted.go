package link

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"rlb.dev/rlb-agent/api"
)

// HearAdmitted is like HearAdverts, but only for advertisements that reach keepalived. An IP socket (raw(7), RFC 3542 §3)
// receives packets at the same point as keepalived's own, after the firewall's INPUT. Advertisements of other virtual
// routers wake it too; it does not notice when its interface goes down.
func HearAdmitted(ctx context.Context, iface string, id Identity, heard func(Advert)) error {
	if err := hearAdmitted(ctx, iface, id, heard); err != nil {
		return fmt.Errorf("cannot hear the VRRP advertisements that the firewall lets in on %s: %w", iface, err)
	}
	return nil
}

func hearAdmitted(ctx context.Context, iface string, id Identity, heard func(Advert)) error {
	return receiveAdmitted(ctx, iface, id, func(frame []byte) (netip.Addr, func()) {
		a, ok := parseAdvert(frame, id)
		if !ok {
			return netip.Addr{}, nil
		}
		return a.From, func() { heard(a) }
	})
}

// receiveAdmitted passes each VRRP packet to parse as an Ethernet frame, and calls tell for packets of other machines.
func receiveAdmitted(ctx context.Context, iface string, id Identity, parse func(frame []byte) (from netip.Addr, tell func())) error {
	l, err := lookAt(iface)
	if err != nil {
		return err
	}
	own, err := ownAddresses()
	if err != nil {
		return err
	}
	file, err := openAdmitted(l, id)
	if err != nil {
		return err
	}
	defer file.Close()
	defer endWith(ctx, file)()
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	// IPv4 delivers the whole packet, IPv6 only the part behind the header; both are parsed as a whole frame
	buffer, control := make([]byte, 2048), make([]byte, 128)
	begin, etherType := frameHeader, typeIPv4
	if id.Family == api.IPv6 {
		begin, etherType = ip6End, typeIPv6
	}
	binary.BigEndian.PutUint16(buffer[12:], etherType)
	for {
		var n, controls int
		var from syscall.Sockaddr
		var failure error
		if err := raw.Read(func(fd uintptr) (done bool) {
			n, controls, _, from, failure = syscall.Recvmsg(int(fd), buffer[begin:], control, 0)
			return failure != unix.EAGAIN
		}); err != nil {
			failure = err
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case failure == unix.EINTR:
			continue
		case failure != nil:
			return failure
		}
		frame := buffer[:begin+n]
		if sender, ok := from.(*syscall.SockaddrInet6); ok {
			putHeader6(frame, sender, control[:controls])
		}
		if from, tell := parse(frame); tell != nil && !own[from] {
			tell()
		}
	}
}

// ownAddresses returns the addresses of all interfaces of this machine.
func ownAddresses() (map[netip.Addr]bool, error) {
	all, err := net.InterfaceAddrs()
	own := map[netip.Addr]bool{}
	for _, addr := range all {
		if p, err := netip.ParsePrefix(addr.String()); err == nil {
			own[p.Addr()] = true
		}
	}
	return own, err
}

// openAdmitted opens an IP socket for VRRP. It joins the group, because keepalived may have left it.
func openAdmitted(l link, id Identity) (*os.File, error) {
	family := unix.AF_INET
	if id.Family == api.IPv6 {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocolVRRP)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(fd), "IP socket on "+l.name)
	err = unix.BindToDevice(fd, l.name)
	for passed := err; passed == nil; { // discard packets of other interfaces that arrived before the bind
		_, passed = unix.Read(fd, make([]byte, 1))
	}
	if group := groupOf(id); group.Is6() {
		err = errors.Join(err,
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1),
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1),
			unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, &unix.IPv6Mreq{Multiaddr: group.As16(), Interface: uint32(l.index)}))
	} else {
		err = errors.Join(err, unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, &unix.IPMreqn{Multiaddr: group.As4(), Ifindex: int32(l.index)}))
	}
	if err != nil {
		file.Close()
		return nil, os.NewSyscallError("setsockopt", err)
	}
	return file, nil
}

// putHeader6 writes the IPv6 header before a received payload, from the kernel's ancillary data (RFC 3542 §6).
func putHeader6(frame []byte, from *syscall.SockaddrInet6, control []byte) {
	header := frame[frameHeader:ip6End]
	clear(header)
	header[0] = 0x60
	binary.BigEndian.PutUint16(frame[ip6Length:], uint16(len(frame)-ip6End))
	frame[ip6Next] = protocolVRRP
	copy(frame[ip6Source:ip6Target], from.Addr[:])
	messages, _ := syscall.ParseSocketControlMessage(control) // without one the hop limit is wrong
	for _, m := range messages {
		switch m.Header.Type {
		case unix.IPV6_HOPLIMIT:
			frame[ip6Hops] = byte(binary.NativeEndian.Uint32(m.Data))
		case unix.IPV6_PKTINFO:
			copy(frame[ip6Target:ip6End], m.Data)
		}
	}
}
