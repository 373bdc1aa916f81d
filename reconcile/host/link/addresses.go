package link

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// route opens a socket to the kernel's tables of links and addresses (rtnetlink(7)) that hears what the groups tell.
func route(groups uint32) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(fd), "rtnetlink socket")
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		file.Close()
		return nil, os.NewSyscallError("bind", err)
	}
	return file, nil
}

// WatchAddresses calls changed whenever an address or an interface of this machine may have changed, and once when it
// has begun to watch. What comes while changed runs is told by one more call.
func WatchAddresses(ctx context.Context, changed func()) error {
	file, err := route(unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR)
	if err != nil {
		return fmt.Errorf("cannot watch addresses: %w", err)
	}
	defer file.Close()
	defer endWith(ctx, file)()
	raw, err := file.SyscallConn()
	if err != nil {
		return fmt.Errorf("cannot watch addresses: %w", err)
	}
	buffer := make([]byte, 1) // what is told is not read, only that something is
	for changed(); ; changed() {
		var failure error
		told := false
		if err := raw.Read(func(fd uintptr) (done bool) {
			for {
				switch _, err := unix.Read(int(fd), buffer); {
				case err == nil || errors.Is(err, unix.ENOBUFS): // without room some of it is lost, which tells as much
					told = true
				case errors.Is(err, unix.EAGAIN):
					return told
				case !errors.Is(err, unix.EINTR):
					failure = os.NewSyscallError("read", err)
					return true
				}
			}
		}); err != nil {
			failure = err
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case failure != nil:
			return fmt.Errorf("cannot watch addresses: %w", failure)
		}
	}
}

// RemoveAddress takes an address off an interface. That it is not there, or the interface is not, is no error.
func RemoveAddress(iface string, prefix netip.Prefix) error {
	if err := removeAddress(iface, prefix); err != nil {
		return fmt.Errorf("cannot take %s off %s: %w", prefix, iface, err)
	}
	return nil
}

func removeAddress(iface string, prefix netip.Prefix) error {
	all, err := net.Interfaces()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(one net.Interface) bool { return one.Name == iface })
	if i < 0 {
		return nil
	}
	file, err := route(0)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Write(deleteAddress(all[i].Index, prefix)); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	n, err := file.Read(answer)
	switch errno := acknowledged(answer[:n]); {
	case err != nil:
		return err
	case errno == 0 || errno == unix.EADDRNOTAVAIL || errno == unix.ENODEV:
		return nil
	default:
		return errno
	}
}

// deleteAddress is the request: a header, a struct ifaddrmsg and the address twice, since with IFA_LOCAL alone the
// kernel does not look at the prefix length.
func deleteAddress(index int, prefix netip.Prefix) []byte {
	family, addr := byte(unix.AF_INET), prefix.Addr().AsSlice()
	if len(addr) == net.IPv6len {
		family = unix.AF_INET6
	}
	attributes := make([]byte, 0, 2*(unix.SizeofRtAttr+len(addr)))
	for _, kind := range []uint16{unix.IFA_LOCAL, unix.IFA_ADDRESS} {
		attributes = binary.NativeEndian.AppendUint16(attributes, uint16(unix.SizeofRtAttr+len(addr)))
		attributes = binary.NativeEndian.AppendUint16(attributes, kind)
		attributes = append(attributes, addr...)
	}
	const flags = unix.NLM_F_REQUEST | unix.NLM_F_ACK
	request := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+unix.SizeofIfAddrmsg+len(attributes)))
	request = binary.NativeEndian.AppendUint16(request, unix.RTM_DELADDR)
	request = binary.NativeEndian.AppendUint16(request, flags)
	request = append(request, 1, 0, 0, 0, 0, 0, 0, 0) // sequence number and port: of no use with one request on a socket
	request = append(request, family, byte(prefix.Bits()), 0, 0)
	request = binary.NativeEndian.AppendUint32(request, uint32(index))
	return append(request, attributes...)
}

// acknowledged is what the kernel answers to a request: a header and the error's number below zero, or zero.
func acknowledged(answer []byte) unix.Errno {
	if len(answer) < unix.SizeofNlMsghdr+4 || binary.NativeEndian.Uint16(answer[4:]) != unix.NLMSG_ERROR {
		return unix.EBADMSG
	}
	return unix.Errno(-int32(binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:])))
}
