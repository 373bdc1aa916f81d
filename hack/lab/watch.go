package lab

import (
	"context"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// watchPause is how often a watch checks the host itself: it may have gone down, or come up with another namespace.
const watchPause = 50 * time.Millisecond

// WatchAddress calls told with each change of whether the host has an address, until ctx ends; the first call is the
// present state. The kernel reports every change at once (rtnetlink(7), RTM_NEWADDR and RTM_DELADDR).
func (h *Host) WatchAddress(ctx context.Context, addr netip.Addr, told func(at time.Time, holds bool)) {
	known, last := false, false
	tell := func(holds bool) {
		if !known || holds != last {
			known, last = true, holds
			told(time.Now(), holds)
		}
	}
	for ctx.Err() == nil {
		ns := h.ns.Load()
		fd := -1
		if ns != nil && h.Up() {
			_ = ns.do(func() (err error) { fd, err = addressSocket(); return err })
		}
		if fd < 0 {
			tell(false)
			time.Sleep(time.Millisecond)
			continue
		}
		tell(h.HoldsAddress(addr))
		for ctx.Err() == nil && h.Up() && h.ns.Load() == ns {
			changes, ok := readChanges(fd, addr)
			for _, holds := range changes {
				tell(holds)
			}
			if !ok {
				tell(h.HoldsAddress(addr))
			}
		}
		_ = unix.Close(fd)
	}
}

func addressSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return -1, err
	}
	pause := unix.NsecToTimeval(int64(watchPause))
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR})
	if err == nil {
		err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &pause)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// readChanges reads the next messages of the kernel about an address: in order, whether it was added (true) or removed.
// ok is false if there was nothing to read, or if messages were lost.
func readChanges(fd int, addr netip.Addr) (changes []bool, ok bool) {
	buffer := make([]byte, 1<<16)
	n, _, err := unix.Recvfrom(fd, buffer, 0)
	if err != nil {
		return nil, false
	}
	messages, err := syscall.ParseNetlinkMessage(buffer[:n])
	if err != nil {
		return nil, false
	}
	for _, m := range messages {
		if m.Header.Type != unix.RTM_NEWADDR && m.Header.Type != unix.RTM_DELADDR {
			continue
		}
		attrs, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil {
			return changes, false
		}
		for _, a := range attrs {
			if a.Attr.Type != unix.IFA_ADDRESS {
				continue
			}
			if of, valid := netip.AddrFromSlice(a.Value); valid && of.Unmap() == addr {
				changes = append(changes, m.Header.Type == unix.RTM_NEWADDR)
			}
		}
	}
	return changes, true
}
