package netfilter

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// WatchRules calls changed whenever any program changes netfilter rules, until ctx ends. It sees the changes of nf_tables
// (iptables on Debian 10 and later, nft, firewalld), not those of iptables-legacy.
func (t *Tables) WatchRules(ctx context.Context, changed func()) error {
	err := watchRules(ctx, changed)
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("cannot watch the firewall: %w", err)
	}
	return nil
}

func watchRules(ctx context.Context, changed func()) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	socket := os.NewFile(uintptr(fd), "netfilter")
	defer socket.Close()
	group := &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (unix.NFNLGRP_NFTABLES - 1)}
	if err := unix.Bind(fd, group); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { socket.Close() })
	defer stop()
	message := make([]byte, 4096) // a longer message is cut off: only the fact of a change matters
	for {
		_, err := socket.Read(message)
		for err == nil { // one call for all pending messages
			_, _, err = unix.Recvfrom(fd, message, unix.MSG_DONTWAIT)
		}
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.ENOBUFS) { // ENOBUFS: too many messages, so something changed
			return err
		}
		changed()
	}
}
