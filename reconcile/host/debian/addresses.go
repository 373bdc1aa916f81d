package debian

import (
	"context"
	"net"
	"net/netip"
	"time"

	"rlb.dev/rlb-agent/reconcile/host/link"
)

// neighbourPatience is how long others may take to answer. On a wireless network tens of milliseconds are usual.
const neighbourPatience = 300 * time.Millisecond

// Neighbours asks on an interface who holds these addresses.
func (h *Host) Neighbours(ctx context.Context, iface string, addrs []netip.Addr) (map[netip.Addr]string, error) {
	return h.OtherNeighbours(ctx, iface, addrs, nil)
}

// MAC is the hardware address of an interface, as Neighbours tells those of others.
func (h *Host) MAC(iface string) (string, error) {
	i, err := net.InterfaceByName(iface)
	if err != nil {
		return "", wrap("look at "+iface, err)
	}
	return i.HardwareAddr.String(), nil
}

// RemoveAddress takes an address off an interface.
func (h *Host) RemoveAddress(ctx context.Context, iface string, prefix netip.Prefix) error {
	return h.effect.Do("RemoveAddress "+prefix.String()+" "+iface, func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return refined(link.RemoveAddress(iface, prefix))
	})
}

// WatchAddresses calls changed whenever an address or an interface of this host may have changed, and once when it
// has begun to watch. What comes while changed runs is told by one more call. It ends with ctx, without an error.
func (h *Host) WatchAddresses(ctx context.Context, changed func()) error {
	return refined(link.WatchAddresses(ctx, changed))
}

// AnyAnswers says whether one of these addresses is held by somebody else on the network of an interface. It ends with
// the first answer, or after wait.
func (h *Host) AnyAnswers(ctx context.Context, iface string, addrs []netip.Addr, wait time.Duration) (bool, error) {
	answered, err := link.AnyNeighbour(ctx, iface, addrs, wait)
	return answered, refined(err)
}
