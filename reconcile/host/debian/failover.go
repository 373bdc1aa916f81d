package debian

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"rlb.dev/rlb-agent/reconcile/host/link"
)

// WatchHolders calls claimed when another host says that one of these addresses is its own, until ctx ends. toUsAlone is
// that it said so to this host alone.
func (h *Host) WatchHolders(ctx context.Context, iface string, addrs []netip.Addr, claimed func(toUsAlone bool)) error {
	return refined(link.WatchHolders(ctx, iface, addrs, func(_ netip.Addr, _ net.HardwareAddr, alone bool) { claimed(alone) }))
}

// Announce tells everyone on the link of an interface that an address is here.
func (h *Host) Announce(iface string, addr netip.Addr) error {
	return refined(link.Announce(iface, addr))
}

// AnnounceTo is Announce to the host with that MAC alone.
func (h *Host) AnnounceTo(iface string, addr netip.Addr, mac string) error {
	to, err := net.ParseMAC(mac)
	if err != nil {
		return fmt.Errorf("cannot announce %s on %s: %w", addr, iface, err)
	}
	return refined(link.AnnounceTo(iface, addr, to))
}

// AwaitChildEnd waits until one of the processes that a process has made has ended. It fails where there is none.
func (h *Host) AwaitChildEnd(ctx context.Context, parent int) error {
	do := fmt.Sprintf("wait for the end of a child of process %d", parent)
	children, err := h.children(parent)
	if err != nil {
		return wrap(do, err)
	}
	if len(children) == 0 {
		return fmt.Errorf("cannot %s: it has none", do)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends those that wait for the others
	ends := make(chan error, len(children))
	for _, pid := range children {
		go func() { ends <- awaitEnd(ctx, pid) }()
	}
	if err := <-ends; err != nil {
		return wrap(do, err)
	}
	return nil
}
