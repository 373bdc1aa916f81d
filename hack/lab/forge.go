package lab

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Advertise sends VRRP 3 advertisements of a virtual router with one address, every 100 ms, from the client's own
// address to the multicast group (RFC 9568 §5), until the returned function is called.
func (c *Client) Advertise(routerID, priority uint8, vip netip.Addr) (stop func(), err error) {
	const protocol = 112
	var fd int
	err = c.ns.Load().do(func() (err error) {
		if fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, protocol); err != nil {
			return err
		}
		link, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		if err := syscall.SetsockoptIPMreqn(fd, syscall.IPPROTO_IP, syscall.IP_MULTICAST_IF, &syscall.IPMreqn{Ifindex: int32(link.Index)}); err != nil {
			return err
		}
		return syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, syscall.IP_MULTICAST_TTL, 255)
	})
	if err != nil {
		return nil, err
	}
	message := append([]byte{0x31, routerID, priority, 1, 0, 10, 0, 0}, vip.AsSlice()...)
	from, group := c.addrs[0].Addr().As4(), [4]byte{224, 0, 0, 18}
	binary.BigEndian.PutUint16(message[6:], checksum(protocol, from[:], group[:], message))

	end := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		defer syscall.Close(fd) //nolint:errcheck // nothing is written late
		for {
			_ = syscall.Sendto(fd, message, 0, &syscall.SockaddrInet4{Addr: group})
			select {
			case <-end:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	})
	return func() { close(end); ended.Wait() }, nil
}

// checksum is the Internet checksum of a pseudo header and a message. The message is the last part; its own checksum
// field is still zero. All parts have an even number of octets.
func checksum(protocol int, parts ...[]byte) uint16 {
	sum := uint32(protocol + len(parts[len(parts)-1]))
	for _, part := range parts {
		for at := 0; at < len(part); at += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[at:]))
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// Claim sends n gratuitous ARP replies, or unsolicited neighbour advertisements (RFC 4861 §7.2.6), to all stations: a
// station with another MAC claims an address. every is the time between them.
func (c *Client) Claim(mac net.HardwareAddr, addr netip.Addr, n int, every time.Duration) error {
	frame := claimFrame(mac, addr)
	to := &syscall.SockaddrLinklayer{Protocol: binary.NativeEndian.Uint16(frame[12:]), Halen: 6, Addr: [8]byte(slices.Concat(frame[:6], []byte{0, 0}))}
	var fd int
	err := c.ns.Load().do(func() error {
		link, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		to.Ifindex = link.Index
		fd, err = syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return err
	}
	defer syscall.Close(fd) //nolint:errcheck // nothing is written late
	for range n {
		if err := syscall.Sendto(fd, frame, 0, to); err != nil {
			return err
		}
		time.Sleep(every)
	}
	return nil
}

func claimFrame(mac net.HardwareAddr, addr netip.Addr) []byte {
	if addr.Is4() {
		everybody := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
		return slices.Concat(everybody, mac, []byte{8, 6, 0, 1, 8, 0, 6, 4, 0, 2}, mac, addr.AsSlice(), everybody, addr.AsSlice())
	}
	const icmp = 58
	from, nodes := netip.MustParseAddr("fe80::60").AsSlice(), netip.MustParseAddr("ff02::1").AsSlice()
	advertisement := slices.Concat([]byte{136, 0, 0, 0, 0x20, 0, 0, 0}, addr.AsSlice(), []byte{2, 1}, mac) // with the override flag
	binary.BigEndian.PutUint16(advertisement[2:], checksum(icmp, from, nodes, advertisement))
	header := []byte{0x86, 0xdd, 0x60, 0, 0, 0, 0, byte(len(advertisement)), icmp, 255}
	return slices.Concat([]byte{0x33, 0x33, 0, 0, 0, 1}, mac, header, from, nodes, advertisement)
}
