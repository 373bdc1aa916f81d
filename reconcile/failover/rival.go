package failover

import (
	"cmp"
	"context"
	"net/netip"
	"slices"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
)

// That a machine answers for a virtual IP (ARP, ND) proves nothing: a router with proxy ARP answers for every address,
// and anyone can claim one. What this host does for another holder (give way, kill a keepalived that hangs, take the
// addresses off early) it does for one that serves alone: a service accepts a connection at a virtual IP through that
// machine's MAC.

// searches is how often other machines than those that serve nothing are asked for: a router with proxy ARP answers
// sooner than the holder behind it.
const searches = 3

// noService is a port on which nothing listens (RFC 863 is long gone). A machine that refuses a connection to it holds
// the address. That must do where no service of the spec listens on a virtual IP.
const noService = 9

// rival is another machine that answers for virtual IPs. The zero value is none.
type rival struct {
	mac    string
	addrs  []netip.Addr // for which it answers, at least one
	serves bool         // a service accepts connections there; else it has no claim to them
	lives  bool         // it accepts or refuses them: it holds the addresses, and is no mere device that answers ARP
}

// answer is who else answers for the virtual IPs.
type answer struct {
	rival         // that serves, or else one that refuses connections, or the first that only answers
	stranger bool // none of the spec's nodes, where all the others answer for their own addresses
	silent   bool // nobody else advertises the virtual routers of the spec; not looked for in the first search
	hung     bool // asked because keepalived may hang here
	err      error
}

// findRival asks who else answers for some of the virtual IPs, and whether it serves. Of several that do it finds a node
// of the spec, and that with the highest MAC.
func findRival(ctx context.Context, h Host, spec state.InForce, vips []netip.Addr) (a answer) {
	peers, err := h.Neighbours(ctx, spec.Interface, slices.Concat(vips, spec.Peers))
	macs := peers
	var idle []string // MACs that serve nothing
	for search := 1; err == nil; search++ {
		var serving []answer
		rivals := rivalsOf(macs, vips)
		if err = probe(ctx, h, spec, rivals); err != nil {
			break
		}
		for _, r := range rivals {
			if found := (answer{rival: r, stranger: stranger(spec, r.mac, peers)}); r.serves {
				serving = append(serving, found)
			} else if idle = append(idle, r.mac); a.mac == "" || r.lives && !a.lives {
				a = found
			}
		}
		if len(serving) > 0 {
			return slices.MaxFunc(serving, func(a, b answer) int {
				if a.stranger != b.stranger {
					return map[bool]int{true: -1, false: 1}[a.stranger]
				}
				return cmp.Compare(a.mac, b.mac)
			})
		}
		if len(rivals) == 0 || search == searches {
			return a
		}
		macs, err = h.OtherNeighbours(ctx, spec.Interface, vips, idle)
	}
	return answer{err: err}
}

// heldApart says whether another machine holds virtual IPs of a spec, and this host would not be its backup: one that
// claims them accepts or refuses connections, and none of these sources advertises the spec's virtual routers.
func heldApart(ctx context.Context, h Host, spec state.InForce, from []netip.Prefix) (bool, error) {
	a := findRival(ctx, h, spec, spec.VirtualIPs)
	if a.err != nil || !a.lives {
		return false, a.err
	}
	heard, err := hearsRouter(ctx, h, spec, from)
	return !heard, err
}

func hearsRouter(ctx context.Context, h Host, spec state.InForce, from []netip.Prefix) (bool, error) {
	router := state.FormerRouter{Identities: spec.Identities}
	return h.HearsRouter(ctx, spec.Interface, spec.Identities, from, router.Listen())
}

// advertised says whether another host advertises the virtual routers of the spec, also where nobody can tell.
func advertised(ctx context.Context, h Host, spec state.InForce) bool {
	heard, err := hearsRouter(ctx, h, spec, nil)
	return heard || err != nil
}

// rivalsOf are the machines that answer for virtual IPs.
func rivalsOf(macs map[netip.Addr]string, vips []netip.Addr) (all []rival) {
	for _, vip := range vips {
		mac := macs[vip]
		at := slices.IndexFunc(all, func(r rival) bool { return r.mac == mac })
		switch {
		case mac == "":
		case at >= 0:
			all[at].addrs = append(all[at].addrs, vip)
		default:
			all = append(all, rival{mac: mac, addrs: []netip.Addr{vip}})
		}
	}
	return all
}

// probe finds out which of the rivals serve.
func probe(ctx context.Context, h Host, spec state.InForce, rivals []rival) error {
	if len(rivals) == 0 {
		return nil
	}
	interfaces, err := h.Interfaces(ctx)
	if err != nil {
		return err
	}
	var at []host.Endpoint
	for _, r := range rivals {
		e := host.Endpoint{MAC: r.mac, At: endpointOf(spec, r.addrs)}
		e.From = sourceFor(e.At.Addr(), spec, interfaces)
		at = append(at, e)
	}
	replies, err := h.ProbeServices(ctx, spec.Interface, at)
	for i, reply := range replies {
		rivals[i].lives = reply != host.Silent
		rivals[i].serves = reply == host.Accepted || reply == host.Refused && len(spec.Services) == 0
	}
	return err
}

// endpointOf is where to ask a machine that answers for these virtual IPs whether it serves: at one of them, if a service
// listens there, else at one that it must hold too, since keepalived moves them together.
func endpointOf(spec state.InForce, addrs []netip.Addr) netip.AddrPort {
	if at := slices.IndexFunc(spec.Services, func(s netip.AddrPort) bool { return slices.Contains(addrs, s.Addr()) }); at >= 0 {
		return spec.Services[at]
	}
	if len(spec.Services) > 0 {
		return spec.Services[0]
	}
	return netip.AddrPortFrom(addrs[0], noService)
}

// sourceFor is the address of this host from which to ask: one of its node, which the other host's firewall always lets
// in, if the interface has it; else one that is on the same subnet, or of the link. It is never a virtual IP.
func sourceFor(to netip.Addr, spec state.InForce, interfaces []host.Interface) netip.Addr {
	var best netip.Addr
	rank := 0
	consider := func(addr netip.Addr, as int) {
		if addr.Is4() == to.Is4() && !slices.Contains(spec.VirtualIPs, addr) && as > rank {
			best, rank = addr, as
		}
	}
	for _, own := range spec.Own {
		consider(own, 1) // of another interface
	}
	for _, i := range interfaces {
		if i.Name != spec.Interface {
			continue
		}
		for _, p := range i.Prefixes {
			switch addr := p.Addr(); {
			case slices.Contains(spec.Own, addr):
				consider(addr, 4)
			case !p.IsSingleIP() && p.Contains(to):
				consider(addr, 3)
			case addr.IsLinkLocalUnicast():
				consider(addr, 2)
			}
		}
	}
	return best
}

// stranger says that a MAC is no peer's, where all peers are known and answered.
func stranger(spec state.InForce, mac string, macs map[netip.Addr]string) bool {
	for _, peer := range spec.Peers {
		if macs[peer] == "" || macs[peer] == mac {
			return false
		}
	}
	return len(spec.Peers) > 0
}
