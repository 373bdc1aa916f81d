package link

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// What frames carry (IEEE 802 numbers).
const (
	typeIPv4 uint16 = 0x0800
	typeARP  uint16 = 0x0806
	typeIPv6 uint16 = 0x86dd
)

// socket is a packet socket on one interface: whole Ethernet frames of one type that come in and pass a filter.
type socket struct{ file *os.File }

// open opens a packet socket. Not before its filter is on does it take any frame.
func open(l link, etherType uint16, filter program) (*socket, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	s := &socket{os.NewFile(uintptr(fd), "packet socket on "+l.name)}
	if err := filter.attach(fd); err != nil {
		s.file.Close()
		return nil, os.NewSyscallError("setsockopt SO_ATTACH_FILTER", err)
	}
	// bound to one type, not to all: the frames that the machine sends do not pass by here
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: bigEndian(etherType), Ifindex: l.index}); err != nil {
		s.file.Close()
		return nil, os.NewSyscallError("bind", err)
	}
	return s, nil
}

// bigEndian is a number as the network wants it in memory.
func bigEndian(n uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n))
}

// join lets the interface take frames for a multicast MAC, for as long as the socket is open.
func (s *socket) join(l link, group net.HardwareAddr) error {
	mreq := unix.PacketMreq{Ifindex: int32(l.index), Type: unix.PACKET_MR_MULTICAST, Alen: uint16(len(group))}
	copy(mreq.Address[:], group)
	return s.control(func(fd int) error {
		return os.NewSyscallError("setsockopt PACKET_ADD_MEMBERSHIP", unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &mreq))
	})
}

// bound sets how much the kernel keeps for the socket.
func (s *socket) bound(octets int) error {
	return s.control(func(fd int) error {
		return os.NewSyscallError("setsockopt SO_RCVBUF", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, octets))
	})
}

// control calls do with the file descriptor, which stays open meanwhile.
func (s *socket) control(do func(fd int) error) error {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return err
	}
	if controlErr := raw.Control(func(fd uintptr) { err = do(int(fd)) }); controlErr != nil {
		return controlErr
	}
	return err
}

// send sends a whole frame.
func (s *socket) send(frame []byte) error {
	_, err := s.file.Write(frame)
	return err
}

// receive hands every frame to handle, which may not keep it, until that has enough or the file's deadline has passed.
func receive(file *os.File, handle func(frame []byte) (enough bool)) error {
	buffer := make([]byte, 2048) // an Ethernet frame; of a larger one nothing here is asked for
	for {
		n, err := file.Read(buffer)
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return nil
			}
			return err
		}
		if handle(buffer[:n]) {
			return nil
		}
	}
}

// endWith lets the file's deadline pass when ctx ends. Calling stop takes that back.
func endWith(ctx context.Context, file *os.File) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = file.SetReadDeadline(time.Unix(1, 0)) }) // closed already: good as well
}
