package failover

import (
	"cmp"
	"context"
	"net/netip"
	"slices"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
)

// An ARP or ND answer for a virtual IP proves nothing: a router with proxy ARP answers for every address, and any machine can
// claim one. So this host reacts only to a machine that serves: a service accepts a connection at a virtual IP through the
// machine's MAC. The reactions are to stand down, to kill a hung keepalived, and to remove the addresses early.

// searches is the most searches for machines beside those that serve nothing. A router with proxy ARP answers sooner than
// the holder behind it.
const searches = 3

// noService is a port on which nothing listens (the discard service of RFC 863 is out of use). A machine that refuses a
// connection to it holds the address. This probe is used if no service of the spec listens on a virtual IP.
const noService = 9

// rival is another machine that answers for virtual IPs. The zero value means none.
type rival struct {
	mac    string
	addrs  []netip.Addr // the virtual IPs it answers for, at least one
	serves bool         // a service accepts connections at the MAC; otherwise the machine has no claim to the virtual IPs
	lives  bool         // the machine accepts or refuses connections: it holds the addresses, and does not only answer ARP
}

// answer is the result of a search for another machine that answers for the virtual IPs.
type answer struct {
	rival         // one that serves, else one that refuses connections, else the first that only answers
	stranger bool // the rival is none of the spec's nodes, and all these answer for their own addresses
	silent   bool // no other host advertises the virtual routers of the spec; false in a search that did not listen
	hung     bool // the search was made because keepalived may hang on this host
	err      error
}

// findRival searches for another machine that answers for some of the virtual IPs, and probes whether it serves. Of several
// machines that serve it prefers nodes of the spec, and of these the one with the highest MAC.
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

// heldApart says whether another machine holds virtual IPs of a spec outside the spec's virtual routers, so that this host
// would not be its backup: a machine that answers for them accepts or refuses connections, and none of these sources
// advertises the spec's virtual routers.
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

// advertised says whether another host advertises the virtual routers of the spec. It returns true if that is unknown.
func advertised(ctx context.Context, h Host, spec state.InForce) bool {
	heard, err := hearsRouter(ctx, h, spec, nil)
	return heard || err != nil
}

// rivalsOf returns the machines that answer for virtual IPs, from the MACs by address.
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

// endpointOf returns the endpoint for the probe of a machine that answers for these virtual IPs: a service on one of them if
// there is one, else a service on another virtual IP, which the machine must hold too because keepalived moves all together.
func endpointOf(spec state.InForce, addrs []netip.Addr) netip.AddrPort {
	if at := slices.IndexFunc(spec.Services, func(s netip.AddrPort) bool { return slices.Contains(addrs, s.Addr()) }); at >= 0 {
		return spec.Services[at]
	}
	if len(spec.Services) > 0 {
		return spec.Services[0]
	}
	return netip.AddrPortFrom(addrs[0], noService)
}

// sourceFor returns the source address for a probe. It prefers an address of this node on the interface, because the other
// host's firewall always accepts it, then an address on the same subnet, then a link-local one. It never returns a virtual
// IP.
func sourceFor(to netip.Addr, spec state.InForce, interfaces []host.Interface) netip.Addr {
	var best netip.Addr
	rank := 0
	consider := func(addr netip.Addr, as int) {
		if addr.Is4() == to.Is4() && !slices.Contains(spec.VirtualIPs, addr) && as > rank {
			best, rank = addr, as
		}
	}
	for _, own := range spec.Own {
		consider(own, 1) // also an address on another interface
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

// stranger says whether a MAC belongs to no peer. It returns false unless the spec names the peers and all of them answered.
func stranger(spec state.InForce, mac string, macs map[netip.Addr]string) bool {
	for _, peer := range spec.Peers {
		if macs[peer] == "" || macs[peer] == mac {
			return false
		}
	}
	return len(spec.Peers) > 0
}
