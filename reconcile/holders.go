package reconcile

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render/vrrp"
)

// otherHolders asks before this host first claims virtual IPs which machines answer for them (ARP, RFC 5227 §2.1.1;
// neighbour discovery, RFC 4862 §5.4), because keepalived would take an address from any machine. These machines may
// answer: a node of the spec, a router that advertises this virtual router, and a machine in takeOver. Virtual IPs in force
// on this host or on one of its interfaces are not asked for again. The error is a *plan.FieldError if another machine
// answers.
func otherHolders(ctx context.Context, o host.Observer, doc *api.Document, look plan.Look, takeOver []string) error {
	if doc.Digest == look.Observed.Memory.Digest { // the spec is in force
		return nil
	}
	fresh, err := newVirtualIPs(ctx, o, &doc.Spec)
	if err != nil || len(fresh) == 0 {
		return err
	}
	main := look.Desired.Facts.Interface
	var routers []host.Router // nil until advertisements were listened to
	for _, iface := range interfacesOf(fresh, main) {
		var asked []netip.Addr
		for _, c := range fresh {
			if c.on(main) == iface {
				asked = append(asked, c.Addr())
			}
		}
		peers := nodeAddresses(&doc.Spec, look.Desired.Facts.Node)
		macs, err := o.Neighbours(ctx, iface, slices.Concat(asked, peers))
		if errors.Is(err, host.ErrUnavailable) { // no machine on such a link has a MAC, or only root may ask
			continue
		}
		if err != nil {
			return plan.FieldErrorf(fresh[0].field, "cannot tell whether another machine has %s: %v", fresh[0].Addr(), err)
		}
		for _, c := range fresh {
			mac := macs[c.Addr()]
			if c.on(main) != iface || mac == "" || slices.Contains(takeOver, mac) ||
				slices.ContainsFunc(peers, func(p netip.Addr) bool { return macs[p] == mac }) {
				continue
			}
			if routers == nil {
				if routers, err = ownRouters(ctx, o, look); err != nil {
					return err
				}
			}
			if !slices.ContainsFunc(routers, func(r host.Router) bool { return r.MAC == mac || slices.Contains(r.Addresses, c.Addr()) }) {
				return plan.FieldErrorf(c.field, "another machine has %s: MAC %s answers for it on %s, and it is neither a node of this spec nor in its virtual router; %s",
					c.Addr(), mac, iface, fmt.Sprintf("choose a free address, or to take it from that machine add --take-over %s", mac))
			}
		}
	}
	return nil
}

// claim is a virtual IP that is new on this host, and its field.
type claim struct {
	api.VirtualIP
	field string
}

// on is the interface of the virtual IP; main is the interface of the virtual router.
func (c claim) on(main string) string {
	if c.Interface != "" {
		return c.Interface
	}
	return main
}

func interfacesOf(claims []claim, main string) (names []string) {
	for _, c := range claims {
		if name := c.on(main); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// newVirtualIPs are the virtual IPs that are neither in the spec in force nor on an interface of this host.
func newVirtualIPs(ctx context.Context, o host.Observer, spec *api.LoadBalancerSpec) (fresh []claim, err error) {
	known := map[netip.Addr]bool{}
	if good, err := state.LastGood(ctx, o); err == nil && good != nil { // if the kept spec is damaged, all are new
		for _, v := range good.Spec.VirtualIPs {
			known[v.Addr()] = true
		}
	}
	for i, v := range spec.VirtualIPs {
		if !known[v.Addr()] {
			fresh = append(fresh, claim{v, fmt.Sprintf("virtualIPs[%d]", i)})
		}
	}
	if len(fresh) == 0 {
		return nil, nil
	}
	own, err := host.OwnAddresses(ctx, o)
	return slices.DeleteFunc(fresh, func(c claim) bool { return own[c.Addr()] }), err
}

// nodeAddresses are the addresses of the other nodes.
func nodeAddresses(spec *api.LoadBalancerSpec, self string) (all []netip.Addr) {
	for _, node := range spec.Nodes {
		if node.Name != self {
			all = append(all, node.Addrs()...)
		}
	}
	return all
}

// lateAdvert is how much later than its interval an advertisement may arrive.
const lateAdvert = 200 * time.Millisecond

// ownRouters listens for the other members of the spec's virtual router and of keepalived's present one. A member is
// recognized by family and router id only: a peer that is not changed yet may have another version or interval.
func ownRouters(ctx context.Context, o host.Observer, look plan.Look) ([]host.Router, error) {
	ids := look.Desired.Model.Routers
	if look.Observed.Units[host.KeepalivedUnit].Active() {
		ids = slices.Concat(ids, vrrp.Identities(look.Observed.Files[look.Desired.Facts.KeepalivedConfig].Data))
	}
	var longest time.Duration
	for _, id := range ids {
		longest = max(longest, id.Period)
	}
	routers, err := o.Routers(ctx, look.Desired.Facts.Interface, longest+lateAdvert)
	if errors.Is(err, host.ErrUnavailable) {
		err = nil
	}
	routers = slices.DeleteFunc(routers, func(r host.Router) bool {
		return !slices.ContainsFunc(ids, func(id vrrp.Identity) bool { return id.Family == r.Family && id.RouterID == r.RouterID })
	})
	if routers == nil {
		routers = []host.Router{}
	}
	return routers, err
}
