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

// Advertise sends VRRP 3 advertisements of a virtual router that has one address, with a priority and 100 ms between them,
// from the client's own address to the multicast group (RFC 9568 §5), until the returned function is called.
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
	sum := uint32(protocol + len(message))
	for _, part := range [][]byte{from[:], group[:], message} {
		for at := 0; at < len(part); at += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[at:]))
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(message[6:], ^uint16(sum))

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

// Claim sends n gratuitous ARP replies to everybody, by which a station with another MAC claims an address, with a time
// between them.
func (c *Client) Claim(mac net.HardwareAddr, addr netip.Addr, n int, every time.Duration) error {
	const arp = 0x0608 // in the byte order of the network
	var fd int
	to := &syscall.SockaddrLinklayer{Protocol: arp, Halen: 6, Addr: [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}
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
	frame := slices.Concat(to.Addr[:6], mac, []byte{8, 6, 0, 1, 8, 0, 6, 4, 0, 2}, mac, addr.AsSlice(), to.Addr[:6], addr.AsSlice())
	for range n {
		if err := syscall.Sendto(fd, frame, 0, to); err != nil {
			return err
		}
		time.Sleep(every)
	}
	return nil
}
