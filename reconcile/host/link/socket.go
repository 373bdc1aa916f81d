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

// EtherTypes (IEEE 802 numbers).
const (
	typeIPv4 uint16 = 0x0800
	typeARP  uint16 = 0x0806
	typeIPv6 uint16 = 0x86dd
)

// socket is a packet socket on one interface. It receives whole Ethernet frames of one type that pass a filter.
type socket struct{ file *os.File }

// open opens a packet socket. The socket receives no frames before its filter is attached.
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
	// bound to one type, not to all, so it does not see outgoing frames of this machine
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: bigEndian(etherType), Ifindex: l.index}); err != nil {
		s.file.Close()
		return nil, os.NewSyscallError("bind", err)
	}
	return s, nil
}

// bigEndian returns a number in network byte order.
func bigEndian(n uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n))
}

// join makes the interface accept frames to a multicast MAC while the socket is open.
func (s *socket) join(l link, group net.HardwareAddr) error {
	mreq := unix.PacketMreq{Ifindex: int32(l.index), Type: unix.PACKET_MR_MULTICAST, Alen: uint16(len(group))}
	copy(mreq.Address[:], group)
	return s.control(func(fd int) error {
		return os.NewSyscallError("setsockopt PACKET_ADD_MEMBERSHIP", unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &mreq))
	})
}

// bound sets the size of the socket's receive buffer.
func (s *socket) bound(octets int) error {
	return s.control(func(fd int) error {
		return os.NewSyscallError("setsockopt SO_RCVBUF", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, octets))
	})
}

// control calls do with the file descriptor, which stays open during the call.
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

// receive passes each frame to handle, which must not keep it, until handle returns true or the file's deadline passes.
func receive(file *os.File, handle func(frame []byte) (enough bool)) error {
	buffer := make([]byte, 2048) // an Ethernet frame; no larger frame is needed
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

// endWith makes the file's deadline pass when ctx ends. stop cancels that.
func endWith(ctx context.Context, file *os.File) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = file.SetReadDeadline(time.Unix(1, 0)) }) // already closed is fine
}
