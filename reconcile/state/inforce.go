package state

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/headroom"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
	"rlb.dev/rlb-agent/render/vrrp"
)

// InForce describes the spec in force for code that runs between two reconciliations.
type InForce struct {
	Spec       *api.LoadBalancerSpec // nil if there is none
	Digest     string                // of its file
	Generation int                   // number of the spec
	Node       string                // the node of the spec that this host is; "" without nodes
	Interface  string                // of the virtual IPs
	VirtualIPs []netip.Addr          // at least one
	Devices    []string              // the interface of each virtual IP; "" is Interface
	Own        []netip.Addr          // addresses of this node; none if the spec has no nodes
	Peers      []netip.Addr          // one address of each other node; none if the spec has no nodes
	Services   []netip.AddrPort      // each virtual IP on which a service listens, with the port of the first such service
	Tracks     bool                  // keepalived tracks the files
	Preempt    bool                  // the highest priority takes the virtual IPs back
	Hands      bool                  // in planned moves the new holder forwards packets to the former holder
	Ports      []uint16              // of the services
	Takeover   time.Duration         // from the last advertisement of a master to its successor
	Skew       time.Duration         // from a master's goodbye to its successor
	Router     headroom.Router       // the VRRP timing of this host
	Identities []vrrp.Identity       // of keepalived's instances, read from its present file
}

// ReadInForce returns nil if no spec was ever brought into force on this host.
func ReadInForce(ctx context.Context, o host.Observer) (*InForce, error) {
	memory, err := ReadMemory(ctx, o)
	if err != nil {
		return nil, err
	}
	doc, err := LastGood(ctx, o)
	if err != nil || doc == nil {
		return nil, err
	}
	config, err := o.File(ctx, memory.Facts.KeepalivedConfig)
	if err != nil {
		return nil, err
	}
	f := &InForce{
		Spec:       &doc.Spec,
		Digest:     doc.Digest,
		Generation: memory.Generation,
		Node:       memory.Facts.Node,
		Interface:  memory.Facts.Interface,
		Own:        ownOf(&doc.Spec, memory.Facts.Node),
		Peers:      peersOf(&doc.Spec, memory.Facts.Node),
		Services:   servicesOf(&doc.Spec),
		Tracks:     render.TracksFiles(&doc.Spec),
		Hands:      render.Hands(&doc.Spec),
		Preempt:    *doc.Spec.VRRP.Preempt,
		Takeover:   vrrp.TakeoverTime(&doc.Spec),
		Skew:       vrrp.SkewTime(&doc.Spec),
		Router: headroom.Router{
			Version: *doc.Spec.VRRP.Version, Interval: doc.Spec.VRRP.AdvertisementInterval.D(), Allowed: vrrp.DownTime(&doc.Spec, memory.Facts.Node),
		},
		Identities: vrrp.Identities(config.Data),
	}
	for _, s := range doc.Spec.Services {
		f.Ports = append(f.Ports, uint16(*s.Port))
	}
	for _, v := range doc.Spec.VirtualIPs {
		f.VirtualIPs = append(f.VirtualIPs, v.Addr())
		f.Devices = append(f.Devices, v.Interface)
	}
	return f, nil
}

// ownOf are the addresses of this node.
func ownOf(spec *api.LoadBalancerSpec, self string) (own []netip.Addr) {
	for _, node := range spec.Nodes {
		if node.Name == self {
			own = node.Addrs()
		}
	}
	return own
}

// servicesOf are the addresses at which another host that holds the virtual IPs can be asked whether it serves.
func servicesOf(spec *api.LoadBalancerSpec) (all []netip.AddrPort) {
	for _, v := range spec.VirtualIPs {
		at := slices.IndexFunc(spec.Services, func(s api.Service) bool { return s.ListensAt(v.Addr()) })
		if at >= 0 {
			all = append(all, netip.AddrPortFrom(v.Addr(), uint16(*spec.Services[at].Port)))
		}
	}
	return all
}

// peersOf is one address of each other node, of the family of the main virtual IP if the node has such an address.
func peersOf(spec *api.LoadBalancerSpec, self string) []netip.Addr {
	var peers []netip.Addr
	for _, node := range spec.Nodes {
		if node.Name == self {
			continue
		}
		addrs := node.Addrs()
		peer := addrs[0]
		for _, addr := range addrs[1:] {
			if addr.Is4() == spec.VirtualIPs[0].Addr().Is4() {
				peer = addr
			}
		}
		peers = append(peers, peer)
	}
	return peers
}

// Held reports whether one of the virtual IPs is on an interface of this host.
func (f *InForce) Held(ctx context.Context, o host.Observer) (bool, error) {
	own, err := host.OwnAddresses(ctx, o)
	return slices.ContainsFunc(f.VirtualIPs, func(vip netip.Addr) bool { return own[vip] }), err
}
