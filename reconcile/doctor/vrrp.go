package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render/vrrp"
)

// findHolders finds the MACs that answer for the virtual IPs, the peers and the routers that were heard.
func (e *exam) findHolders(ctx context.Context) {
	if e.holdersErr != nil {
		return
	}
	e.holders = map[string]string{}
	byInterface := map[string][]netip.Addr{}
	for _, v := range e.spec.VirtualIPs {
		name := v.Interface
		if name == "" {
			name = e.iface()
		}
		byInterface[name] = append(byInterface[name], v.Addr())
	}
	for _, p := range e.peers() {
		byInterface[e.iface()] = append(byInterface[e.iface()], p.addr)
	}
	for name, addrs := range byInterface {
		macs, err := e.host.Neighbours(ctx, name, addrs)
		if err != nil {
			e.holdersErr = err
		}
		for addr, mac := range macs {
			e.holders[addr.String()] = mac
		}
	}
}

// peer is another node of the spec.
type peer struct {
	name string
	addr netip.Addr
}

func (e *exam) peers() (all []peer) {
	for _, n := range e.spec.Nodes {
		if n.Name == e.look.Desired.Facts.Node {
			continue
		}
		for _, addr := range n.Addrs() {
			all = append(all, peer{n.Name, addr})
		}
	}
	return all
}

// holds says whether this host has the address now.
func (e *exam) holds(addr netip.Addr) bool {
	return slices.ContainsFunc(e.network, func(i host.Interface) bool {
		return slices.ContainsFunc(i.Prefixes, func(p netip.Prefix) bool { return p.Addr() == addr })
	})
}

// peerOf returns the name of the peer that has this MAC or advertises this address. known is false if no peer does.
func (e *exam) peerOf(mac string, addr netip.Addr) (name string, known bool) {
	for _, p := range e.peers() {
		if e.holders[p.addr.String()] == mac {
			return p.name, true
		}
	}
	for _, r := range e.routers {
		if name, known := e.routerName(r); known && (r.MAC == mac || slices.Contains(r.Addresses, addr)) {
			return name, true
		}
	}
	return "", false
}

// routerName returns the name of the peer that a router is. It recognizes a node by its address or MAC. If the spec has no
// nodes, a router that advertises a virtual IP of this host is a peer.
func (e *exam) routerName(r host.Router) (name string, known bool) {
	for _, p := range e.peers() {
		if p.addr == r.From || r.MAC != "" && e.holders[p.addr.String()] == r.MAC {
			return p.name, true
		}
	}
	return "a peer", len(e.spec.Nodes) == 0 && e.sharesVIP(r)
}

func (e *exam) sharesVIP(r host.Router) bool {
	return slices.ContainsFunc(e.look.Desired.VirtualIPs, func(v netip.Addr) bool { return slices.Contains(r.Addresses, v) })
}

// virtualIPs checks that only nodes of the spec answer for the virtual IPs, and only one at a time.
func virtualIPs(_ context.Context, e *exam) (found []Finding, note string, err error) {
	for _, v := range e.spec.VirtualIPs {
		addr := v.Addr()
		mac := e.holders[addr.String()]
		iface, advertised := e.iface(), netip.Addr{}
		if v.Interface != "" && v.Interface != iface { // the MACs of the peers are known on the interface of their addresses only
			iface, advertised = v.Interface, addr
		}
		name, known := e.peerOf(mac, advertised)
		switch {
		case mac == "":
		case !known && e.virtualMAC(mac):
			note = fmt.Sprintf("%s is at the virtual router's MAC %s", addr, mac)
		case !known:
			found = append(found, errorf(fmt.Sprintf("%s is answered by an unknown machine", addr),
				fmt.Sprintf("find %s in the MAC table of the switch or the leases of the DHCP server and give that machine another address, or choose another address in virtualIPs", mac),
				"a machine with MAC %s answers for the virtual IP %s on %s, and it is no load balancer of this spec", mac, addr, iface))
		case e.holds(addr):
			found = append(found, errorf(fmt.Sprintf("%s is held by two hosts", addr), "let VRRP (IP protocol 112) pass between the two, in firewalls and switches; the check peer says more",
				"this host holds the virtual IP %s, and %s (MAC %s) answers for it too", addr, name, mac))
		default:
			note = fmt.Sprintf("%s is held by %s (MAC %s)", addr, name, mac)
		}
	}
	return found, note, e.holdersErr
}

// virtualMAC says whether a MAC is the virtual MAC of this spec's virtual router (RFC 9568 §7.3).
func (e *exam) virtualMAC(mac string) bool {
	return slices.ContainsFunc(e.look.Desired.Model.Routers, func(id vrrp.Identity) bool {
		return mac == fmt.Sprintf("00:00:5e:00:01:%02x", id.RouterID) || mac == fmt.Sprintf("00:00:5e:00:02:%02x", id.RouterID)
	})
}

// routerIDs checks that no other host on the link uses the virtual router of this spec or advertises its addresses.
func routerIDs(_ context.Context, e *exam) (found []Finding, note string, err error) {
	var others []string
	for _, r := range e.routers {
		if _, known := e.routerName(r); known {
			continue
		}
		who := fmt.Sprintf("router %d (%v, version %d) of %s, MAC %s", r.RouterID, r.Family, r.Version, r.From, r.MAC)
		clash := slices.ContainsFunc(e.look.Desired.Model.Routers, func(id vrrp.Identity) bool { return id.Family == r.Family && id.RouterID == r.RouterID })
		switch {
		case e.sharesVIP(r):
			found = append(found, errorf("an unknown router advertises the virtual IPs", fmt.Sprintf("stop keepalived on %s, or add it to nodes in the spec of every node", r.From),
				"heard on %s: %s, for %s; it is no node of the spec", e.iface(), who, host.Join(r.Addresses, ", ")))
		case clash:
			found = append(found, errorf(fmt.Sprintf("router id %d is used by another virtual router", r.RouterID),
				fmt.Sprintf("vrrp.routerID: %d in the spec of every node; no router on this network advertises that id", e.freeRouterID()),
				"heard on %s: %s, for %s", e.iface(), who, host.Join(r.Addresses, ", ")))
		default:
			others = append(others, who)
		}
	}
	if len(others) > 0 {
		note = "others with another id: " + strings.Join(others, "; ")
	}
	return found, note, e.routersErr
}

func (e *exam) freeRouterID() int {
	for id := *e.spec.VRRP.RouterID%255 + 1; id != *e.spec.VRRP.RouterID; id = id%255 + 1 {
		if !slices.ContainsFunc(e.routers, func(r host.Router) bool { return r.RouterID == id }) {
			return id
		}
	}
	return *e.spec.VRRP.RouterID
}

// peers checks that the peers answer, and that VRRP between them and this host works.
func peers(_ context.Context, e *exam) (found []Finding, note string, err error) {
	if e.routersErr != nil {
		return nil, "", e.routersErr
	}
	if e.holdersErr != nil {
		return nil, "", e.holdersErr
	}
	for _, p := range e.peers() {
		if e.holders[p.addr.String()] == "" {
			found = append(found, warningf("peer "+p.name+" does not answer", "start "+p.name+", and check its cable and its VLAN, or its address in nodes",
				"nobody answers for %s, the address of node %s, on %s", p.addr, p.name, e.iface()))
		}
	}
	heard := false
	for _, r := range e.routers {
		if name, known := e.routerName(r); known {
			heard = true
			found = append(found, e.differences(name, r)...)
		}
	}
	silent := !heard && (e.role == host.RoleMaster || e.role == host.RoleBackup || e.role == host.RoleFault)
	for _, v := range e.spec.VirtualIPs {
		mac := e.holders[v.Addr().String()]
		if name, known := e.peerOf(mac, netip.Addr{}); silent && known && v.Interface == "" {
			found = append(found, errorf("advertisements of "+name+" do not arrive",
				e.silenceFix(), "%s (MAC %s) holds %s, and in %v no VRRP advertisement came to %s: they are dropped on the way", name, mac, v.Addr(), e.Listen, e.iface()))
			break
		}
	}
	switch {
	case heard:
		note = "heard a peer"
	case e.role == host.RoleMaster:
		note = "this host is MASTER, and a standby does not advertise itself"
	case e.role != host.RoleUnknown:
		note = fmt.Sprintf("no VRRP router was heard; this host is %s", e.role)
	}
	return found, note, nil
}

func (e *exam) silenceFix() string {
	const pass = "let IP protocol 112 pass between the hosts: in the firewall of the sender, in switches and in the hypervisor"
	switch {
	case e.spec.VRRP.Transport == api.Unicast:
		return pass
	case len(e.spec.Nodes) == 0:
		return pass + "; or give nodes and vrrp.transport: unicast in the spec"
	}
	return "vrrp.transport: unicast in the spec of every node, or let multicast to 224.0.0.18 and ff02::12 pass (IGMP snooping of the switch, filters of the hypervisor, firewall of the sender)"
}

// differences returns the reasons why a peer that is heard on the wire is not in the same virtual router, or why keepalived
// does not receive its advertisements.
func (e *exam) differences(name string, r host.Router) (found []Finding) {
	at := slices.IndexFunc(e.look.Desired.Model.Routers, func(id vrrp.Identity) bool { return id.Family == r.Family })
	if at < 0 {
		return nil
	}
	id := e.look.Desired.Model.Routers[at]
	const same = "use the same spec on every node: rlb-agent diff shows what is not applied yet"
	differs := func(what string, theirs, ours any) {
		found = append(found, errorf(name+" has another "+what, same, "%s (MAC %s) advertises %s %v, this spec has %v", r.From, r.MAC, what, theirs, ours))
	}
	interval := e.spec.VRRP.AdvertisementInterval.D()
	switch {
	case r.RouterID != id.RouterID:
		if e.sharesVIP(r) {
			differs("router id", r.RouterID, id.RouterID)
		}
		return found
	case r.Version != id.Version:
		differs("VRRP version", r.Version, id.Version)
		return found
	case r.Unicast != id.Unicast:
		kinds := map[bool]string{true: "unicast", false: "multicast"}
		differs("transport", kinds[r.Unicast], kinds[id.Unicast])
	}
	if len(r.Addresses) != id.Addresses {
		differs("number of virtual IPs", len(r.Addresses), id.Addresses)
	} else if !e.sameAddresses(r) {
		differs("set of virtual IPs", host.Join(r.Addresses, ", "), host.Join(e.look.Desired.VirtualIPs, ", "))
	}
	if r.Interval.Round(10*time.Millisecond) != interval.Round(10*time.Millisecond) {
		differs("advertisement interval", r.Interval, interval)
	}
	if !r.Admitted {
		found = append(found, errorf("the firewall here drops the advertisements of "+name,
			"accept IP protocol 112 from "+r.From.String()+" on "+e.iface()+": firewall.manage: true in the spec does; the check firewall names the rule",
			"VRRP advertisements of %s (MAC %s) arrive on %s but do not reach keepalived", r.From, r.MAC, e.iface()))
	} else if e.role == host.RoleMaster && len(found) == 0 && r.Priority > 0 {
		found = append(found, errorf("two hosts are MASTER", "accept IP protocol 112 from this host on "+name+": run rlb-agent doctor there",
			"this host is MASTER, and %s (MAC %s) advertises itself too: it does not hear this host", r.From, r.MAC))
	}
	return found
}

func (e *exam) sameAddresses(r host.Router) bool {
	return !slices.ContainsFunc(r.Addresses, func(a netip.Addr) bool { return !slices.Contains(e.look.Desired.VirtualIPs, a) })
}
