package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// SendHeartbeat sends a UDP datagram of eight octets from an address of an interface to each of these addresses, which
// are of its family, unicast or multicast. Its TTL is 255, as that of VRRP (RFC 9568 §5.1.1.3), so that a receiver can
// tell that no router has forwarded it.
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

// onLinkOnly has the datagrams of a socket leave by one interface, with a TTL of 255, and not come back to this host.
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
