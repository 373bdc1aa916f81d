package render

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"rlb.dev/rlb-agent/api"
)

// A planned move of the virtual IPs costs no connection that is just being opened (vrrp.handover: forward). Two things
// make it so, both in place before a move, so that neither the agent nor a program has a part in the move itself:
//
//   - The former holder goes on serving the connections that it has: a second local route keeps the virtual IP's sockets
//     working when keepalived has removed the address, and ARP keeps silent about it.
//   - The new holder sends the packets of such connections to the former one, for as long as ForwardTime, instead of
//     answering them with a RST. nftables arms that by the VRRP packet that tells of a planned move.
const (
	HandoverUnit       = "rlb-handover.service"         // loads all of it at boot, without the agent
	HandoverTable      = "rlb_handover"                 // of nftables, in the families of the virtual IPs
	HandoverRulesFile  = "/var/lib/rlb/handover.nft"    // the rules that the unit loads
	HandoverRoutesFile = "/var/lib/rlb/handover.routes" // the routes that it loads
	handoverMark       = 0x2000                         // a bit of the mark of connections to a service that is bound to a virtual IP

	// HandoverProtocol marks the routes of the agent (rtnetlink(7), rtm_protocol). No routing daemon has this number.
	HandoverProtocol = 219
	handoverMetric   = 10 // behind the kernel's own route of an address that is there

	// ForwardTime is how long the new holder forwards packets to the former one after a planned move. A client whose third
	// packet of a handshake is lost sends it again within this time (RFC 6298 §2: 1 s).
	ForwardTime = 2 * time.Second
	// serveOn is how long a HAProxy that is to stop serves on from when another host is seen to hold the virtual IPs.
	serveOn = ForwardTime + 100*time.Millisecond
	// goodbyeTime is how long a HAProxy that is to stop serves on at most until keepalived gives the virtual IPs up.
	goodbyeTime = 500 * time.Millisecond
	// skewMargin is for the successor's first advertisement to arrive, also on a busy machine.
	skewMargin = 100 * time.Millisecond
)

// OwnUnits are the units that the agent brings, each of which a spec may want or not.
var OwnUnits = []string{FirewallUnit, HandoverUnit}

// Handover is what is in the kernel for a hand-over, or must be.
type Handover struct {
	Rules   map[api.Family]int // how many rules of HandoverTable
	Routes  []netip.Addr       // virtual IPs that have a local route for as long as HAProxy runs, sorted
	Sysctls map[string]string  // keys as below /proc/sys
}

// Lacks says what of a hand-over is not there, in words, or "". Without HAProxy there need not be routes.
func (h Handover) Lacks(have Handover, haproxy bool) string {
	for _, family := range api.Families {
		if h.Rules[family] != have.Rules[family] {
			return fmt.Sprintf("the %v rules", family)
		}
	}
	for _, key := range sortedKeys(h.Sysctls) {
		if h.Sysctls[key] != have.Sysctls[key] {
			return key
		}
	}
	if haproxy && !slices.Equal(h.Routes, have.Routes) {
		return "the local routes"
	}
	return ""
}

// hands says whether planned moves forward packets.
func (r *renderer) hands() bool { return Hands(r.spec) }

// Hands says whether planned moves forward packets with a spec. Classic has no HAProxy that serves on while it stops.
func Hands(spec *api.LoadBalancerSpec) bool {
	return spec.VRRP.Handover == api.HandoverForward && TracksFiles(spec)
}

// handedOver are the virtual IPs of a family that take part: those on the interface of the advertisements, for packets
// are forwarded there.
func (r *renderer) handedOver(family api.Family) (all []netip.Addr) {
	for i, v := range r.spec.VirtualIPs {
		if on := v.Interface; api.FamilyOf(v.Addr()) == family && (on == "" || on == r.facts.Interface) {
			all = append(all, r.spec.VirtualIPs[i].Addr())
		}
	}
	return all
}

// HandoverSysctls are the settings that a hand-over needs, with the values that they need at least (ip-sysctl in the
// kernel's documentation).
func HandoverSysctls(spec *api.LoadBalancerSpec, iface string) map[string]string {
	r := renderer{spec: spec, facts: Facts{Interface: iface}}
	all := map[string]string{}
	if !r.hands() {
		return all
	}
	if len(r.handedOver(api.IPv4)) > 0 {
		all["net/ipv4/conf/"+iface+"/arp_ignore"] = "1"   // answers for addresses of the interface only, not for a local route
		all["net/ipv4/conf/"+iface+"/arp_announce"] = "2" // asks from the interface's own address
	}
	if slices.ContainsFunc(spec.Services, func(s api.Service) bool { return !slices.Contains(s.Bind, "*") }) {
		all["net/ipv4/tcp_fwmark_accept"] = "1" // a connection has the mark of its SYN
	}
	return all
}

// handover renders the rules and the unit, and the model of both.
func (r *renderer) handover() (files []File, err error) {
	m := &Handover{Rules: map[api.Family]int{}, Sysctls: map[string]string{}}
	r.model.Handover = m
	for key, value := range HandoverSysctls(r.spec, r.facts.Interface) {
		m.Sysctls[key] = max(value, r.facts.Sysctls[key]) // one digit each
	}
	l := newLines()
	for _, family := range api.Families {
		vips := r.handedOver(family)
		if len(vips) == 0 {
			continue
		}
		m.Routes = append(m.Routes, vips...)
		before := len(l.data)
		if err := r.handoverTable(l, family, vips); err != nil {
			return nil, err
		}
		m.Rules[family] = CountRules(string(l.data[before:]), family)
	}
	slices.SortFunc(m.Routes, netip.Addr.Compare)
	return []File{l.file(HandoverRulesFile, HandoverRules), r.handoverRoutes(), r.handoverUnit()}, nil
}

func sortedKeys(m map[string]string) (keys []string) {
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
