package serveon

import (
	"context"
	"net/netip"
	"slices"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
)

// allHosts are the groups of all hosts on the link. Every host is a member without a join (RFC 1112 §4, RFC 4291 §2.7.1).
var allHosts = map[api.Family]netip.Addr{api.IPv4: netip.MustParseAddr("224.0.0.1"), api.IPv6: netip.MustParseAddr("ff02::1")}

// target holds the source and the destinations of the heartbeats of one family. The source is that of this host's
// advertisements.
type target struct {
	from netip.Addr
	to   []netip.Addr
}

// targets returns a target for each family of the virtual IPs. It leaves out a family in which this host has no address,
// because the host does not advertise there either.
func targets(ctx context.Context, o host.Observer, in *state.InForce, vips []netip.Addr) (all []target, err error) {
	interfaces, err := o.Interfaces(ctx)
	if err != nil {
		return nil, err
	}
	for _, family := range api.Families {
		of := func(addr netip.Addr) bool { return api.FamilyOf(addr) == family }
		if !slices.ContainsFunc(vips, of) {
			continue
		}
		unicast := in.Spec.VRRP.Transport == api.Unicast
		t := target{from: advertisesFrom(in, interfaces, family, unicast), to: []netip.Addr{allHosts[family]}}
		if unicast {
			t.to = peersIn(in, family)
		}
		if t.from.IsValid() && len(t.to) > 0 {
			all = append(all, t)
		}
	}
	return all, nil
}

// advertisesFrom returns the source address of this host's advertisements as in keepalived.conf: IPv6 multicast comes from
// the link-local address (RFC 9568 §5.1.2.1). Without nodes, IPv4 comes from the first address of the interface.
func advertisesFrom(in *state.InForce, interfaces []host.Interface, family api.Family, unicast bool) netip.Addr {
	linkLocal := family == api.IPv6 && !unicast
	if !linkLocal {
		if at := slices.IndexFunc(in.Own, func(own netip.Addr) bool { return api.FamilyOf(own) == family }); at >= 0 {
			return in.Own[at]
		}
	}
	for _, i := range interfaces {
		for _, p := range i.Prefixes {
			addr := p.Addr()
			if i.Name == in.Interface && api.FamilyOf(addr) == family && addr.IsLinkLocalUnicast() == linkLocal && !slices.Contains(in.VirtualIPs, addr) {
				return addr
			}
		}
	}
	return netip.Addr{}
}

// peersIn returns the addresses of the other nodes in a family.
func peersIn(in *state.InForce, family api.Family) (all []netip.Addr) {
	for _, node := range in.Spec.Nodes {
		for _, addr := range node.Addrs() {
			if node.Name != in.Node && api.FamilyOf(addr) == family {
				all = append(all, addr)
			}
		}
	}
	return all
}
