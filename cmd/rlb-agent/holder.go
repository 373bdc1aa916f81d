package main

import (
	"context"
	"net"
	"net/netip"
	"time"

	"rlb.dev/rlb-agent/reconcile/guard"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/link"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/status"
)

// holder is the watch over who holds the virtual IPs.
func (g *guards) holder(conflicts chan<- guard.Conflict) *guard.Holder {
	return &guard.Holder{
		Addresses:  g.addresses,
		Remove:     g.host.RemoveAddress,
		Role:       func(ctx context.Context) (host.Role, error) { return status.KeepalivedRole(ctx, g.host) },
		Kill:       func(ctx context.Context) error { return g.host.KillUnit(ctx, host.KeepalivedUnit) },
		MAC:        g.host.MAC,
		Neighbours: g.host.Neighbours,
		Passes: func(ctx context.Context, force state.InForce) (bool, error) {
			return g.host.AdvertsPass(ctx, force.Interface, force.Identities)
		},
		Watch: func(ctx context.Context, iface string, addrs []netip.Addr, claimed func(reminder bool)) error {
			return link.WatchHolders(ctx, iface, addrs, func(_ netip.Addr, _ net.HardwareAddr, alone bool) { claimed(alone) })
		},
		Announce: link.Announce,
		Remind: func(iface string, addr netip.Addr, mac string) error {
			to, err := net.ParseMAC(mac)
			if err != nil {
				return err
			}
			return link.AnnounceTo(iface, addr, to)
		},
		Tell: func(ctx context.Context, c guard.Conflict) {
			select {
			case conflicts <- c:
			case <-ctx.Done():
			}
		},
		Log: g.log,
	}
}

// addresses are those of an interface; one that is not there has none.
func (g *guards) addresses(ctx context.Context, iface string) ([]netip.Prefix, error) {
	all, err := g.host.Interfaces(ctx)
	if err != nil {
		return nil, err
	}
	for _, i := range all {
		if i.Name == iface {
			return i.Prefixes, nil
		}
	}
	return nil, nil
}

// watchAddresses tells that addresses may have moved. Without a watch it tells it now and then.
func (g *guards) watchAddresses(ctx context.Context, moved chan<- struct{}) {
	for ctx.Err() == nil {
		err := g.host.WatchAddresses(ctx, func() {
			select {
			case moved <- struct{}{}:
			default:
			}
		})
		if err != nil {
			g.log.Debug("cannot watch addresses", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}
