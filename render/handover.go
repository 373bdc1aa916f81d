package render

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"rlb.dev/rlb-agent/api"
)

// A planned move of the virtual IPs loses no connection that is just being opened (vrrp.handover: forward). Two
// mechanisms achieve this. Both are set up before a move, so that no agent or other program takes part in the move:
//
//   - The former holder still serves the connections that it has: a second local route keeps the sockets of the virtual
//     IP working after keepalived has removed the address, and ARP requests for the address are not answered.
//   - The new holder forwards the packets of these connections to the former holder for ForwardTime, instead of
//     answering them with a RST. In nftables, the VRRP packet of a planned move arms the forwarding.
const (
	HandoverUnit       = "rlb-handover.service"         // loads rules, routes and sysctls at boot, without the agent
	HandoverTable      = "rlb_handover"                 // a table of nftables, in the families of the virtual IPs
	HandoverRulesFile  = "/var/lib/rlb/handover.nft"    // the rules that the unit loads
	HandoverRoutesFile = "/var/lib/rlb/handover.routes" // the routes that the unit loads
	handoverMark       = 0x2000                         // a bit in the mark of connections to a service that is bound to a virtual IP

	// HandoverProtocol marks the routes of the agent (rtnetlink(7), rtm_protocol). No routing daemon has this number.
	HandoverProtocol = 219
	handoverMetric   = 10 // the kernel's own route of an address that the host holds has precedence

	// ForwardTime is how long the new holder forwards packets to the former holder after a planned move. If the third
	// packet of a handshake is lost, its client repeats it within this time (RFC 6298 §2: 1 s).
	ForwardTime = 2 * time.Second
	// serveOn is how long a HAProxy that is being stopped still serves after another host has taken the virtual IPs.
	serveOn = ForwardTime + 100*time.Millisecond
	// goodbyeTime is how long a stop of HAProxy waits at most until keepalived gives up the virtual IPs.
	goodbyeTime = 500 * time.Millisecond
	// skewMargin is the time for the new holder's first advertisement to arrive, also on a busy machine.
	skewMargin = 100 * time.Millisecond
)

// OwnUnits are the units that the agent installs if the spec needs them.
var OwnUnits = []string{FirewallUnit, HandoverUnit}

// Handover describes the kernel's state for a hand-over: as a spec needs it, or as it is on the host.
type Handover struct {
	Rules   map[api.Family]int // number of rules in HandoverTable
	Routes  []netip.Addr       // virtual IPs that have a local route while HAProxy runs, sorted
	Sysctls map[string]string  // keys are paths below /proc/sys
}

// Lacks compares what a hand-over needs with what the host has. It names the first missing part, or returns "". haproxy
// says whether HAProxy runs: only then are routes needed.
func (h Handover) Lacks(have Handover, haproxy bool) string {
	for _, family := range api.Families {
		if h.Rules[family] != have.Rules[family] {
			return fmt.Sprintf("the %v rules", family)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(h.Sysctls)) {
		if h.Sysctls[key] != have.Sysctls[key] {
			return key
		}
	}
	if haproxy && !slices.Equal(h.Routes, have.Routes) {
		return "the local routes"
	}
	return ""
}

// hands reports whether planned moves forward packets.
func (r *renderer) hands() bool { return Hands(r.spec) }

// Hands reports whether planned moves forward packets with a spec. With the profile classic a HAProxy that is being
// stopped does not serve any longer.
func Hands(spec *api.LoadBalancerSpec) bool {
	return spec.VRRP.Handover == api.HandoverForward && TracksFiles(spec)
}

// handedOver returns the virtual IPs of a family that a planned move forwards: those on the interface of the
// advertisements, because packets are forwarded on that interface.
func (r *renderer) handedOver(family api.Family) (all []netip.Addr) {
	for i, v := range r.spec.VirtualIPs {
		if on := v.Interface; api.FamilyOf(v.Addr()) == family && (on == "" || on == r.facts.Interface) {
			all = append(all, r.spec.VirtualIPs[i].Addr())
		}
	}
	return all
}

// HandoverSysctls returns the settings that a hand-over needs, with their lowest values (ip-sysctl in the kernel's
// documentation).
func HandoverSysctls(spec *api.LoadBalancerSpec, iface string) map[string]string {
	r := renderer{spec: spec, facts: Facts{Interface: iface}}
	all := map[string]string{}
	if !r.hands() {
		return all
	}
	if len(r.handedOver(api.IPv4)) > 0 {
		// "all" is for other interfaces on the same network, such as Wi-Fi beside a cable: they must not answer for a local
		// route either. A network card that is plugged in again has lost its own value, so the rules are loaded again for it.
		for _, on := range []string{"all", iface} {
			all["net/ipv4/conf/"+on+"/arp_ignore"] = "1"   // ARP answers for addresses of the interface only
			all["net/ipv4/conf/"+on+"/arp_announce"] = "2" // ARP requests come from the interface's own address
		}
	}
	if slices.ContainsFunc(spec.Services, func(s api.Service) bool { return !slices.Contains(s.Bind, "*") }) {
		all["net/ipv4/tcp_fwmark_accept"] = "1" // a connection gets the mark of its SYN
	}
	return all
}

// handover renders the rules, the routes and the unit, and sets their model.
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
