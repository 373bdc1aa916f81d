package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/jsimonetti/rtnetlink/v2"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"rlb.dev/rlb-agent/api"
)

// WatchAddresses calls changed at its start, and whenever an address or an interface of this machine may have changed.
// Changes while changed runs lead to one more call.
func WatchAddresses(ctx context.Context, changed func()) error {
	err := watchAddresses(ctx, changed)
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("cannot watch addresses: %w", err)
	}
	return nil
}

func watchAddresses(ctx context.Context, changed func()) error {
	const groups = unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{Groups: groups})
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })() // already closed is fine
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	for changed(); ; changed() {
		var failure error
		if err := raw.Read(func(fd uintptr) (done bool) {
			done, failure = drain(int(fd))
			return done
		}); err != nil {
			return err
		}
		if failure != nil {
			return failure
		}
	}
}

// drain reads all pending messages. Only their arrival matters: messages lost for lack of buffer space (ENOBUFS) count too.
func drain(fd int) (news bool, err error) {
	buffer := make([]byte, 1)
	for {
		switch _, err := unix.Read(fd, buffer); {
		case err == nil || errors.Is(err, unix.ENOBUFS):
			news = true
		case errors.Is(err, unix.EAGAIN):
			return news, nil
		case !errors.Is(err, unix.EINTR):
			return true, os.NewSyscallError("read", err)
		}
	}
}

// RemoveAddress removes an address from an interface. A missing address or interface is no error.
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
	conn, err := rtnetlink.Dial(nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	family := uint8(unix.AF_INET)
	if api.FamilyOf(prefix.Addr()) == api.IPv6 {
		family = unix.AF_INET6
	}
	addr := net.IP(prefix.Addr().AsSlice())
	err = conn.Address.Delete(&rtnetlink.AddressMessage{
		Family: family, PrefixLength: uint8(prefix.Bits()), Index: uint32(all[i].Index),
		// both attributes: with IFA_LOCAL alone the kernel ignores the prefix length
		Attributes: &rtnetlink.AddressAttributes{Local: addr, Address: addr},
	})
	if errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}
