package state

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render/vrrp"
)

// FormerRouter is the virtual router that this host left for another. The file is derived: while a host waits for its
// peer to leave that router too, the process that waits (host.RejoinUnit) knows it, and a daemon has seen the file.
// Where it is lost to both, the host goes on waiting as long as that process does.
type FormerRouter struct {
	Interface  string          `json:"interface"`
	Identities []vrrp.Identity `json:"identities"`
	From       []netip.Prefix  `json:"from,omitempty"` // where its advertisements may come from; none: from anywhere
	Heir       bool            `json:"heir,omitempty"` // this host was its master, and a backup may be there
}

// ReadFormer is the router that was left and whose end is waited for; nil where there is none.
func ReadFormer(ctx context.Context, o host.Observer) (*FormerRouter, error) {
	former, err := ReadDerived[FormerRouter](ctx, o, FormerFile)
	if err != nil || len(former.Identities) == 0 {
		return nil, err
	}
	return &former, nil
}

// Write notes the router that keepalived is about to leave.
func (f *FormerRouter) Write(ctx context.Context, h host.Host) error {
	return WriteDerived(ctx, h, FormerFile, f)
}

// FindSources finds out where advertisements of the router's other members may come from, as the spec in force says; one
// that is to be brought into force may have other nodes.
func (f *FormerRouter) FindSources(ctx context.Context, o host.Observer) error {
	spec := &api.LoadBalancerSpec{}
	switch doc, err := LastGood(ctx, o); {
	case err != nil:
		return err
	case doc != nil:
		spec = &doc.Spec
	}
	own, err := host.OwnAddresses(ctx, o)
	if err != nil {
		return err
	}
	f.From = nil
	for _, node := range spec.Nodes {
		for _, addr := range node.Addrs() {
			if !own[addr] {
				f.From = append(f.From, netip.PrefixFrom(addr, addr.BitLen()))
			}
		}
	}
	multicast := func(id vrrp.Identity) bool { return !id.Unicast }
	if len(f.From) == 0 || spec.Profile != api.Standard && slices.ContainsFunc(f.Identities, multicast) {
		// only the standard profile tells keepalived to send multicast from the node's address
		interfaces, err := o.Interfaces(ctx)
		if err != nil {
			return err
		}
		f.From = append(f.From, host.Subnets(interfaces, spec.VirtualIPs)[f.Interface]...)
	}
	if slices.ContainsFunc(f.Identities, func(id vrrp.Identity) bool { return id.Family == api.IPv6 && multicast(id) }) {
		f.From = append(f.From, netip.MustParsePrefix("fe80::/10")) // RFC 9568 §5.1.2.1: from link-local addresses
	}
	return nil
}

// FindHeir finds out whether this host is about to leave it as its master while other nodes are on the link. Without nodes
// there may be one, and without a spec in force this host may be the master.
func (f *FormerRouter) FindHeir(ctx context.Context, o host.Observer) error {
	in, err := ReadInForce(ctx, o)
	f.Heir = true
	if err == nil && in != nil {
		f.Heir, err = in.Held(ctx, o)
	}
	var nodes []netip.Addr
	for _, from := range f.From {
		if from.IsSingleIP() {
			nodes = append(nodes, from.Addr())
		}
	}
	if err != nil || !f.Heir || len(nodes) == 0 {
		return err
	}
	if there, err := o.Neighbours(ctx, f.Interface, nodes); err == nil { // where it cannot ask, one may be there
		f.Heir = len(there) > 0
	}
	return nil
}

// Forget ends the waiting: this host has joined, or nothing waits.
func (f *FormerRouter) Forget(ctx context.Context, h host.Host) error {
	return h.RemoveFile(ctx, FormerFile)
}

// Silence is the time after which a router that says nothing is gone (RFC 9568 §6.1, Active_Down_Interval, and some more).
func (f *FormerRouter) Silence() time.Duration { return 4 * f.period() }

// AfterLeaving is how long to listen for another member once this host has left: a backup that missed the goodbye of its
// master, since it was lost or overtaken by an advertisement, takes over as from one that fell silent.
func (f *FormerRouter) AfterLeaving() time.Duration {
	if f.Heir {
		return f.Silence()
	}
	return f.Listen()
}

// AfterGoodbye is how long to listen yet when a router has said goodbye: of two hosts, the last one has. Where there are
// more, or where nobody knows how many there are (no nodes in the spec), a backup advertises itself next.
func (f *FormerRouter) AfterGoodbye(in *InForce) time.Duration {
	if in != nil && len(in.Peers) == 1 {
		return 0
	}
	return f.Listen()
}

// Listen is how long a router that is there takes to show itself: as master by its next advertisement, and as the
// backup of a master that has just said goodbye after its skew, which is less than an interval, in version 2 than a second.
func (f *FormerRouter) Listen() time.Duration { return f.period()*3/2 + 50*time.Millisecond }

func (f *FormerRouter) period() time.Duration {
	longest := time.Duration(0)
	for _, id := range f.Identities {
		longest = max(longest, id.Period)
	}
	return longest
}

func (f *FormerRouter) String() string {
	var all []string
	for _, id := range f.Identities {
		all = append(all, id.String())
	}
	return strings.Join(all, "; ")
}
