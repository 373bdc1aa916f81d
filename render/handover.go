package render

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/render/vrrp"
)

// A planned move of the virtual IPs costs no connection that is just being opened (vrrp.handover: forward). Two things
// make it so, both in place before a move, so that neither the agent nor a program has a part in the move itself:
//
//   - The former holder goes on serving the connections that it has: a second local route keeps the virtual IP's sockets
//     working when keepalived has removed the address, and ARP keeps silent about it.
//   - The new holder sends the packets of such connections to the former one, for as long as ForwardTime, instead of
//     answering them with a RST. nftables arms that by the VRRP packet that tells of a planned move.
const (
	HandoverUnit      = "rlb-handover.service"      // loads all of it at boot, without the agent
	HandoverTable     = "rlb_handover"              // of nftables, in the families of the virtual IPs
	HandoverRulesFile = "/var/lib/rlb/handover.nft" // what the unit loads
	handoverMark      = 0x2000                      // a bit of the mark of connections to a service that is bound to a virtual IP

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
		before := len(l.text)
		if err := r.handoverTable(l, family, vips); err != nil {
			return nil, err
		}
		m.Rules[family] = CountRules(strings.Join(l.text[before:], "\n"), family)
	}
	slices.SortFunc(m.Routes, netip.Addr.Compare)
	return []File{l.file(HandoverRulesFile, HandoverRules), r.handoverUnit()}, nil
}

// HandoverFamily is what nft(8) calls a family.
func HandoverFamily(family api.Family) string {
	if family == api.IPv6 {
		return "ip6"
	}
	return "ip"
}

// CountRules counts the rules of the family's HandoverTable in text that nft(8) lists, or reads.
func CountRules(text string, family api.Family) (n int) {
	inside, chain := false, false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "table "):
			inside = strings.HasPrefix(line, "table "+HandoverFamily(family)+" "+HandoverTable)
		case strings.HasPrefix(line, "chain "):
			chain = true
		case line == "}":
			chain = false
		case inside && chain && line != "" && !strings.HasPrefix(line, "type filter hook "):
			n++
		}
	}
	return n
}

// handoverTable renders the table of one family (nft(8)). It is made anew in one transaction.
//
// advert sees every advertisement of this virtual router from another node. The holder is the one that advertises; while
// it is known, another one is not taken for it, so that peer and holder are of the same host. A goodbye (priority 0,
// RFC 9568 §5.2.4) of the holder arms the forwarding, and so does an own advertisement while the holder still advertises:
// this host takes over for its higher priority, and then there is no goodbye.
//
// own sees the advertisements of this host, for a stop of HAProxy to know whether it held the virtual IPs (led), and that
// it said goodbye (left).
//
// A packet of a connection that did not begin here is forwarded: the only socket that would take it is the one that
// listens. That one has a wildcard address; or, where it is bound to the virtual IP, it lacks the mark that every
// connection has from its SYN, armed or not: so no advertisement, forged or not, takes a connection away from this host.
// What comes from another node stays here, so that no packet goes round.
func (r *renderer) handoverTable(l *lines, family api.Family, vips []netip.Addr) error {
	sources, origin, err := r.vrrpSources(family)
	if err != nil {
		return err
	}
	ip, addr, hops := HandoverFamily(family), "ipv4_addr", "ip ttl"
	if family == api.IPv6 {
		addr, hops = "ipv6_addr", "ip6 hoplimit"
	}
	iface, interval, takeover := r.facts.Interface, r.spec.VRRP.AdvertisementInterval.D(), vrrp.TakeoverTime(r.spec)
	known := ForwardTime + takeover
	l.section(1, "", "table %s %s", ip, HandoverTable)
	l.add("", "delete table %s %s", ip, HandoverTable)
	l.add("", "table %s %s {", ip, HandoverTable)
	for _, s := range []struct {
		kind, name, of string
		lasts          time.Duration
	}{
		{"set", "advertisers", addr + " . ether_addr", takeover},
		{"set", "nodes", "ether_addr", time.Minute},
		{"set", "recent", "iface_index", 2 * interval},
		{"set", "known", "iface_index", known + 200*time.Millisecond}, // the longest: see advert
		{"set", "holder", "iface_index . " + addr, known + 100*time.Millisecond},
		{"map", "peer", "iface_index : " + addr, known},
		{"set", "armed", "iface_index", ForwardTime},
		{"set", "led", "iface_index", ForwardTime},
		{"set", "left", "iface_index", ForwardTime},
	} {
		l.add("", "    %s %s {", s.kind, s.name)
		l.add("", "        type %s", s.of)
		l.add("", "        size 1024")
		l.add("", "        flags dynamic,timeout")
		l.add("", "        timeout %dms", s.lasts.Milliseconds())
		l.add("", "    }")
	}
	router := fmt.Sprintf("meta l4proto 112 @th,8,8 %d", *r.spec.VRRP.RouterID)
	l.add("", "    chain prerouting {")
	l.add("", "        type filter hook prerouting priority raw; policy accept;")
	for _, source := range sources {
		l.add(origin, "        iifname %q %s %s 255 %s saddr %s goto advert", iface, router, hops, ip, source)
	}
	chains := map[string]bool{}
	for _, f := range r.frontends() {
		if chain := r.handoverPort(l, f.services[0], ip, vips); chain != "" {
			chains[chain] = true
		}
	}
	l.add("", "    }")
	for _, line := range []string{
		"    chain output {",
		"        type filter hook output priority raw; policy accept;",
		fmt.Sprintf("        oifname %q %s goto own", iface, router),
		"    }",
		"    chain own {",
		"        update @led { oif }",
		"        @th,16,8 0 update @left { oif }",
		"        @th,16,8 0 return",
		"        oif @recent add @armed { oif }",
		"    }",
		"    chain advert {",
		"        update @nodes { ether saddr }",
		fmt.Sprintf("        @th,16,8 0 %[1]s saddr . ether saddr @advertisers iif . %[1]s saddr @holder update @armed { iif }", ip),
		"        @th,16,8 0 return",
		fmt.Sprintf("        update @advertisers { %s saddr . ether saddr }", ip),
		fmt.Sprintf("        iif . %s saddr @holder goto holds", ip),
		"        iif @known return",
		"        goto holds",
		"    }",
		"    chain holds {",
		"        update @known { iif }",
		fmt.Sprintf("        update @holder { iif . %s saddr }", ip),
		fmt.Sprintf("        update @peer { iif : %s saddr }", ip),
		"        update @recent { iif }",
		"    }",
	} {
		l.add("", "%s", line)
	}
	for _, c := range []struct{ name, elsewhere string }{
		{onWildcard, "socket wildcard 1"},
		{onAddress, fmt.Sprintf("socket mark & %#x == 0", handoverMark)},
	} {
		if chains[c.name] {
			l.add("", "    chain %s {", c.name)
			l.add("", "        ether saddr @nodes return")
			l.add("", "        %s return", isSYN)
			l.add("", "        %s dup to iif map @peer device %q drop", c.elsewhere, iface)
			l.add("", "    }")
		}
	}
	l.add("", "}")
	return nil
}

// The chains that forward, by where HAProxy listens, and the packet that begins a connection.
const (
	onWildcard = "on_wildcard"
	onAddress  = "on_address"
	isSYN      = "tcp flags & (syn | ack) == syn"
)

// handoverPort leads the packets to a service's port to the chain that forwards them, and says which one that is.
func (r *renderer) handoverPort(l *lines, s service, ip string, vips []netip.Addr) (chain string) {
	chain = onWildcard
	if !slices.Contains(s.Bind, "*") {
		chain = onAddress
		vips = slices.DeleteFunc(slices.Clone(vips), func(vip netip.Addr) bool { return !slices.Contains(s.Bind, vip.String()) })
	}
	if len(vips) == 0 {
		return ""
	}
	var texts []string
	for _, vip := range vips {
		texts = append(texts, vip.String())
	}
	to := fmt.Sprintf("%s daddr { %s } tcp dport %d", ip, strings.Join(texts, ", "), *s.Port)
	if chain == onAddress {
		l.add(s.path+".port", "        %s %s meta mark set meta mark | %#x", to, isSYN, handoverMark)
	}
	l.add(s.path+".port", "        iif @armed %s goto %s", to, chain)
	return chain
}

// handoverUnit renders the unit that loads the sysctls, the rules and the routes, in this order: a route without the
// sysctls would make a standby answer for the virtual IPs. Its stop takes all of it away again, and so does a start that
// fails (systemd.service(5), ExecStopPost).
func (r *renderer) handoverUnit() File {
	l := newLines()
	l.add("", "[Unit]")
	l.add("", "Description=Planned moves of the load balancer's virtual IPs without a lost connection (rlb-agent)")
	l.add("", "After=network-online.target nftables.service netfilter-persistent.service ufw.service firewalld.service")
	l.add("", "Before=haproxy.service keepalived.service")
	l.add("", "")
	l.add("", "[Service]")
	l.add("", "Type=oneshot")
	l.add("", "RemainAfterExit=yes")
	for _, setting := range []string{"ExecStart=", "ExecReload="} {
		for _, key := range sortedKeys(r.model.Handover.Sysctls) {
			l.add("vrrp.handover", "%s/sbin/sysctl -q -w %s=%s", setting, key, r.model.Handover.Sysctls[key])
		}
		l.add("vrrp.handover", "%s/usr/sbin/nft -f %s", setting, HandoverRulesFile)
		r.handoverRoutes(l, setting)
	}
	for _, family := range api.Families {
		if r.model.Handover.Rules[family] > 0 {
			l.add("", "ExecStopPost=-/usr/sbin/nft delete table %s %s", HandoverFamily(family), HandoverTable)
		}
	}
	r.noHandoverRoutes(l, "ExecStopPost=-")
	for _, key := range sortedKeys(r.model.Handover.Sysctls) {
		was := r.facts.Sysctls[key]
		orElse(&was, "0")
		l.add("vrrp.handover", "ExecStopPost=-/sbin/sysctl -q -w %s=%s", key, was)
	}
	l.add("", "")
	l.add("", "[Install]")
	l.add("", "WantedBy=multi-user.target")
	return l.file("/etc/systemd/system/"+HandoverUnit, SystemdUnit)
}

// handoverRoutes renders commands of a unit that add the local routes, and remove those of a former spec.
func (r *renderer) handoverRoutes(l *lines, setting string) {
	r.noHandoverRoutes(l, setting+"-")
	for _, vip := range r.model.Handover.Routes {
		l.add("virtualIPs", "%s%s", setting, routeCommand(vip))
	}
}

// routeCommand adds the local route of a virtual IP.
func routeCommand(vip netip.Addr) string {
	return fmt.Sprintf("/bin/ip route replace local %v dev lo table local proto %d metric %d",
		netip.PrefixFrom(vip, vip.BitLen()), HandoverProtocol, handoverMetric)
}

// handoverStop renders the part of HAProxy's drop-in that keeps its sockets working after the virtual IPs have left, and
// that has a stop wait. Where another host took over, HAProxy serves on for as long as that host forwards. Where none
// did, it stops at once: the clients of a lone host wait for its return. Without the rules nothing tells which is so.
func (r *renderer) handoverStop(l *lines) {
	family := api.IPv4
	if r.model.Handover.Rules[family] == 0 {
		family = api.IPv6
	}
	table := HandoverFamily(family) + " " + HandoverTable
	has := func(set string) string {
		return fmt.Sprintf("/usr/sbin/nft list set %s %s | grep -q expires", table, set)
	}
	loaded := fmt.Sprintf("/usr/sbin/nft list table %s >/dev/null 2>&1", table)
	until := func(limit time.Duration, set string) {
		l.add("vrrp.handover", "ExecStop=-/usr/bin/timeout %.2f /bin/sh -c 'while %s && ! { %s; }; do sleep 0.02; done'", limit.Seconds(), has("led"), has(set))
	}
	// Where HAProxy does not run, this host's own connections to the virtual IPs find the host that holds them.
	for _, vip := range r.model.Handover.Routes {
		l.add("vrrp.handover", "ExecStartPost=-/bin/sh -c '%s && %s'", loaded, routeCommand(vip))
	}
	r.noHandoverRoutes(l, "ExecStopPost=-")
	l.add("vrrp.handover", "ExecStop=-/bin/sh -c '%s || sleep %.1f'", loaded, handoverTime.Seconds())
	until(goodbyeTime, "left")
	until(handoverTime+vrrp.SkewTime(r.spec)+skewMargin, "recent")
	l.add("vrrp.handover", "ExecStop=-/bin/sh -c '%s && %s && sleep %.1f'", has("led"), has("recent"), serveOn.Seconds())
}

// noHandoverRoutes renders commands of a unit that remove the local routes.
func (r *renderer) noHandoverRoutes(l *lines, setting string) {
	for _, flag := range []string{"-4", "-6"} {
		l.add("", "%s/bin/ip %s route flush table local proto %d", setting, flag, HandoverProtocol)
	}
}

func sortedKeys(m map[string]string) (keys []string) {
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
