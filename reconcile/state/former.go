package state

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render/vrrp"
)

// FormerRouter is the virtual router that this host left for another one. The file is derived. While a host waits for its
// peer to leave the former router too, the waiting process (host.RejoinUnit) holds the router in memory, and so does a
// daemon that has read the file. If both have lost the router, this host still waits while that process runs.
type FormerRouter struct {
	Interface  string          `json:"interface"`
	Identities []vrrp.Identity `json:"identities"`
	From       []netip.Prefix  `json:"from,omitempty"`   // source addresses of its advertisements; none: any source
	Backup     bool            `json:"backup,omitempty"` // this host was its master, and a backup may exist
}

// ReadFormer reads the router that this host left and whose end it waits for; nil if there is none.
func ReadFormer(ctx context.Context, o host.Observer) (*FormerRouter, error) {
	former, err := ReadDerived[FormerRouter](ctx, o, FormerFile)
	if err != nil || len(former.Identities) == 0 {
		return nil, err
	}
	return &former, nil
}

// Write records the router that keepalived is about to leave.
func (f *FormerRouter) Write(ctx context.Context, h host.Host) error {
	return WriteDerived(ctx, h, FormerFile, f)
}

// FindSources sets the addresses from which the other members of the router may send advertisements. They come from the
// spec in force, because a new spec may have other nodes.
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
		// only the standard profile makes keepalived send multicast from the node's address
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

// FindBackup finds out whether this host is about to leave the router as its master while other nodes are on the link. If the
// spec has no nodes, a backup may exist. If no spec is in force, this host may be the master.
func (f *FormerRouter) FindBackup(ctx context.Context, o host.Observer) error {
	in, err := ReadInForce(ctx, o)
	f.Backup = true
	if err == nil && in != nil {
		f.Backup, err = in.Held(ctx, o)
	}
	var nodes []netip.Addr
	for _, from := range f.From {
		if from.IsSingleIP() {
			nodes = append(nodes, from.Addr())
		}
	}
	if err != nil || !f.Backup || len(nodes) == 0 {
		return err
	}
	if there, err := o.Neighbours(ctx, f.Interface, nodes); err == nil { // if it cannot ask, a backup may exist
		f.Backup = len(there) > 0
	}
	return nil
}

// Forget ends the wait: this host has joined its new router, or no process waits.
func (f *FormerRouter) Forget(ctx context.Context, h host.Host) error {
	return h.RemoveFile(ctx, FormerFile)
}

// Silence is the time without advertisements after which a router is gone (RFC 9568 §6.1, Active_Down_Interval, plus a
// margin).
func (f *FormerRouter) Silence() time.Duration { return 4 * f.period() }

// AfterLeaving is how long to listen for another member after this host has left. A backup that missed the goodbye of its
// master, because it was lost or overtaken by an advertisement, takes over as after a silence of the master. Else a master
// sends at least two advertisements in this time, of which one may be lost.
func (f *FormerRouter) AfterLeaving() time.Duration {
	if f.Backup {
		return f.Silence()
	}
	return f.Listen() + f.period()
}

// AfterGoodbye is how long to listen after an advertisement with priority 0. In a pair it came from the last member. With
// more hosts, or if their number is not known (no nodes in the spec), a backup advertises next.
func (f *FormerRouter) AfterGoodbye(in *InForce) time.Duration {
	if in != nil && len(in.Peers) == 1 {
		return 0
	}
	return f.Listen()
}

// Listen is the time within which a live router sends an advertisement: a master at its next interval; the backup of a
// master that has just sent priority 0 after its skew time, which is less than one interval, and in version 2 less than one
// second.
func (f *FormerRouter) Listen() time.Duration { return f.period()*3/2 + 50*time.Millisecond }

func (f *FormerRouter) period() time.Duration {
	longest := time.Duration(0)
	for _, id := range f.Identities {
		longest = max(longest, id.Period)
	}
	return longest
}

func (f *FormerRouter) String() string { return host.Join(f.Identities, "; ") }
