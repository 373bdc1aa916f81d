package debian

import (
	"context"
	"net"
	"net/netip"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
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

// probePatience is how long a machine may take to accept a connection: its kernel does, whatever its programs are doing.
const probePatience = 200 * time.Millisecond

// OtherNeighbours is Neighbours without the answers of machines with these MACs.
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

// ProbeServices sends a TCP connection request to each of these endpoints, whoever else holds their addresses, and says
// what each replied within 200 ms. No connection is made.
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
