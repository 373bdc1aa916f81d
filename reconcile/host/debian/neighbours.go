package debian

import (
	"context"
	"net"
	"net/netip"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/link"
)

// neighbourPatience is how long other hosts may take to answer. On a wireless network tens of milliseconds are usual.
const neighbourPatience = 300 * time.Millisecond

// Neighbours asks on an interface which hosts hold these addresses.
func (h *Host) Neighbours(ctx context.Context, iface string, addrs []netip.Addr) (map[netip.Addr]string, error) {
	return h.OtherNeighbours(ctx, iface, addrs, nil)
}

// MAC returns the hardware address of an interface, in the format of Neighbours.
func (h *Host) MAC(iface string) (string, error) {
	i, err := net.InterfaceByName(iface)
	if err != nil {
		return "", wrap("look at "+iface, err)
	}
	return i.HardwareAddr.String(), nil
}

// RemoveAddress removes an address from an interface.
func (h *Host) RemoveAddress(ctx context.Context, iface string, prefix netip.Prefix) error {
	return h.effect.Do("RemoveAddress "+prefix.String()+" "+iface, func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return refined(link.RemoveAddress(iface, prefix))
	})
}

// WatchAddresses calls changed at its start, and whenever an address or an interface of this host may have changed. Changes
// while changed runs lead to one more call. It returns without an error when ctx ends.
func (h *Host) WatchAddresses(ctx context.Context, changed func()) error {
	return refined(link.WatchAddresses(ctx, changed))
}

// AnyAnswers says whether another host on the network of an interface holds one of these addresses. It returns at the first
// answer, or after wait.
func (h *Host) AnyAnswers(ctx context.Context, iface string, addrs []netip.Addr, wait time.Duration) (bool, error) {
	answered, err := link.AnyNeighbour(ctx, iface, addrs, wait)
	return answered, refined(err)
}

// probePatience is how long a machine may take to accept a connection. Its kernel accepts, whatever its programs do.
const probePatience = 200 * time.Millisecond

// OtherNeighbours is like Neighbours, but ignores the answers of machines with these MACs.
func (h *Host) OtherNeighbours(ctx context.Context, iface string, addrs []netip.Addr, without []string) (map[netip.Addr]string, error) {
	var ignored []net.HardwareAddr
	for _, text := range without {
		mac, err := net.ParseMAC(text)
		if err != nil {
			return nil, wrap("ask for neighbours on "+iface, err)
		}
		ignored = append(ignored, mac)
	}
	macs, err := link.Neighbours(ctx, iface, addrs, ignored, neighbourPatience)
	if err != nil {
		return nil, refined(err)
	}
	found := make(map[netip.Addr]string, len(macs))
	for addr, mac := range macs {
		found[addr] = mac.String()
	}
	return found, nil
}

// ProbeServices sends a TCP connection request to each of these endpoints, even if other machines hold their addresses too,
// and returns what each replied within 200 ms. No connection is established.
func (h *Host) ProbeServices(ctx context.Context, iface string, at []host.Endpoint) ([]host.Reply, error) {
	var targets []link.Target
	for _, e := range at {
		mac, err := net.ParseMAC(e.MAC)
		if err != nil {
			return nil, wrap("probe a service on "+iface, err)
		}
		targets = append(targets, link.Target{MAC: mac, From: e.From, To: e.At})
	}
	said, err := link.Probe(ctx, iface, targets, probePatience)
	if err != nil {
		return nil, refined(err)
	}
	replies := make([]host.Reply, len(said))
	for i, reply := range said {
		replies[i] = map[link.Reply]host.Reply{link.Refused: host.Refused, link.Accepted: host.Accepted}[reply]
	}
	return replies, nil
}
