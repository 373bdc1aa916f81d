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

// HandoverFamily returns the name of a family in nft(8).
func HandoverFamily(family api.Family) string {
	if family == api.IPv6 {
		return "ip6"
	}
	return "ip"
}

// CountRules counts the rules of the family's HandoverTable in a text that nft(8) prints or reads.
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

// handoverTable renders the table of one family (nft(8)). One transaction replaces the whole table.
//
// Chain advert gets every advertisement of this virtual router from another node. The node that advertises is the holder.
// While a holder is known, no other node replaces it, so that the sets peer and holder describe the same host. Two
// events arm the forwarding: a goodbye (priority 0, RFC 9568 §5.2.4) of the holder, and an advertisement of this host
// while the holder still advertises. In the second case this host preempts the holder, which then sends no goodbye.
//
// Chain own gets the advertisements of this host. With its sets a stop of HAProxy finds out whether this host held the
// virtual IPs (led) and has sent its goodbye (left).
//
// A packet of a connection that did not begin on this host is forwarded. Only the listening socket matches such a packet.
// This socket has a wildcard address. If it is bound to the virtual IP, it lacks the mark that every connection gets from
// its SYN, whether the forwarding is armed or not. Therefore no advertisement, forged or not, takes an established
// connection away from this host. Packets from another node are not forwarded, so that no packet goes round in a loop.
//
// nft's socket expression matches full sockets only: no connection whose handshake is not complete, and none in TIME_WAIT.
// begun has the connections whose handshake is not complete. A TIME_WAIT belongs to a connection that this host served
// before the last move. If the client has opened another connection from the same port since, its packets must be
// forwarded too: the TIME_WAIT would answer them, and the client would hang.
// A connection leaves begun with the client's first packet after its handshake, even if the forwarding has ended by then:
// after the next move the client may use its port again.
//
// With three or more hosts several can take over at once after a goodbye. All but one give up the virtual IPs within
// milliseconds (RFC 9568 §6.4.3). The remaining host does not have the connections that began on the others. While the
// hosts are settling, new connections are therefore forwarded to the former holder, whichever host gets the first packet.
//
// Chain beat gets the heartbeats of a holder that still serves after its goodbye (Heartbeat). They prolong the forwarding
// and do nothing else. Only a goodbye begins it, so a forged heartbeat can do no more than a forged advertisement.
//
// forwarded has the connections whose packets were forwarded. If the former holder dies, the agent makes their clients
// send a packet, which is answered with a RST (serveon.Successor).
func (r *renderer) handoverTable(l *lines, family api.Family, vips []netip.Addr) error {
	sources, origin, err := r.vrrpSources(family)
	if err != nil {
		return err
	}
	ip, addr, hops := HandoverFamily(family), "ipv4_addr", "ip ttl"
	if family == api.IPv6 {
		addr, hops = "ipv6_addr", "ip6 hoplimit"
	}
	connection := addr + " . inet_service . " + addr + " . inet_service"
	iface, interval, takeover := r.facts.Interface, r.spec.VRRP.AdvertisementInterval.D(), vrrp.TakeoverTime(r.spec)
	known := ForwardTime + takeover
	several, goodbye := len(r.spec.Nodes) > 2, "update @armed { iif }"
	if several {
		goodbye += " update @settling { iif }"
	}
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
		{"set", "known", "iface_index", known + 200*time.Millisecond}, // longer than holder and peer: see chain advert
		{"set", "holder", "iface_index . " + addr, known + 100*time.Millisecond},
		{"map", "peer", "iface_index : " + addr, known},
		{"set", "armed", "iface_index", ForwardTime},
		{"set", "led", "iface_index", max(ForwardTime, 2*interval)},
		{"set", "left", "iface_index", ForwardTime},
		{"set", "begun", connection, begunTime},
		{"set", ForwardedSet, connection, forwardedTime},
		{"set", "settling", "iface_index", settleTime},
	} {
		if s.name == "settling" && !several {
			continue
		}
		l.add("", "    %s %s {", s.kind, s.name)
		l.add("", "        type %s", s.of)
		l.add("", "        size %d", map[bool]int{true: 65536, false: 1024}[s.of == connection])
		l.add("", "        flags dynamic,timeout")
		l.add("", "        timeout %dms", s.lasts.Milliseconds())
		l.add("", "    }")
	}
	// holds records the sender of the packet as the holder of the virtual IPs.
	holds := []string{
		"        update @known { iif }",
		fmt.Sprintf("        update @holder { iif . %s saddr }", ip),
		fmt.Sprintf("        update @peer { iif : %s saddr }", ip),
	}
	router := fmt.Sprintf("meta l4proto 112 @th,8,8 %d", *r.spec.VRRP.RouterID)
	l.add("", "    chain prerouting {")
	l.add("", "        type filter hook prerouting priority raw; policy accept;")
	for _, source := range sources {
		l.add(origin, "        iifname %q %s %s 255 %s saddr %s goto advert", iface, router, hops, ip, source)
	}
	for _, source := range sources {
		l.add(origin, "        iif @armed iifname %q udp dport %d %s 255 %s saddr %s iif . %[4]s saddr @holder goto beat", iface, HeartbeatPort, hops, ip, source)
	}
	chains := map[string]bool{}
	for _, f := range r.frontends() {
		if chain := r.handoverPort(l, f.services[0], ip, vips); chain != "" {
			chains[chain] = true
		}
	}
	l.add("", "    }")
	for _, line := range slices.Concat([]string{
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
		fmt.Sprintf("        @th,16,8 0 %[1]s saddr . ether saddr @advertisers iif . %[1]s saddr @holder %s", ip, goodbye),
		"        @th,16,8 0 return",
		fmt.Sprintf("        update @advertisers { %s saddr . ether saddr }", ip),
		fmt.Sprintf("        iif . %s saddr @holder goto holds", ip),
		"        iif @known return",
		"        goto holds",
		"    }",
		"    chain holds {",
	}, holds, []string{
		"        update @recent { iif }",
		"    }",
		"    chain beat {",
		fmt.Sprintf("        @th,64,64 %#x update @armed { iif } goto lasts", HeartbeatRest(*r.spec.VRRP.RouterID)),
		fmt.Sprintf("        @th,64,64 %#x update @armed { iif timeout %dms } goto lasts", Heartbeat(*r.spec.VRRP.RouterID), HeartbeatLife.Milliseconds()),
		"    }",
		"    chain lasts {",
		"        update @nodes { ether saddr }",
	}, holds, []string{
		"        drop",
		"    }",
	}) {
		l.add("", "%s", line)
	}
	client := fmt.Sprintf("%s saddr . tcp sport . %[1]s daddr . tcp dport", ip)
	forward := fmt.Sprintf("dup to iif map @peer device %q drop", iface)
	for _, c := range []struct{ name, here string }{
		{onWildcard, "socket wildcard 0"},
		{onAddress, fmt.Sprintf("socket mark & %#x != 0", handoverMark)},
	} {
		if chains[c.name] {
			l.add("", "    chain %s {", c.name)
			l.add("", "        %s @begun %s delete @begun { %[1]s }", client, c.here)
			l.add("", "        iif != @armed return")
			l.add("", "        ether saddr @nodes return")
			if several {
				l.add("", "        iif @settling %s %s", isSYN, forward)
			}
			l.add("", "        %s update @begun { %s }", isSYN, client)
			l.add("", "        %s return", isSYN)
			l.add("", "        %s return", c.here)
			l.add("", "        %s @begun return", client)
			l.add("", "        update @%s { %s }", ForwardedSet, client) // a separate rule, because a rule ends at a full set
			l.add("", "        %s", forward)
			l.add("", "    }")
		}
	}
	l.add("", "}")
	return nil
}

// begunTime is how long a handshake that began while packets are forwarded may take: its SYN-ACK is sent again after 1 s
// and after 3 s (RFC 6298 §5.5).
const begunTime = 5 * time.Second

// ForwardedSet is the name of the set of forwarded connections: the client's address and port, a virtual IP and a port.
const ForwardedSet = "forwarded"

// forwardedTime is how long a connection stays in ForwardedSet after its last packet. HTTP/2 clients of Kubernetes are
// silent for less than that: they send a ping after 30 s.
const forwardedTime = time.Minute

// settleTime is how long three or more hosts need after a goodbye until one of them holds the virtual IPs, and its agent
// has announced them once more. Until then, neighbours may send packets to a host that has just given them up.
const settleTime = 30 * time.Millisecond

// The chains that forward: for services that listen on a wildcard address, and for those bound to a virtual IP. isSYN
// matches the packet that begins a connection.
const (
	onWildcard = "on_wildcard"
	onAddress  = "on_address"
	isSYN      = "tcp flags & (syn | ack) == syn"
)

// handoverPort renders the rules that send packets to a service's port to the chain that forwards them. It returns the
// name of the chain, or "" if the service listens on no virtual IP that is handed over.
func (r *renderer) handoverPort(l *lines, s service, ip string, vips []netip.Addr) (chain string) {
	chain = onWildcard
	if !slices.Contains(s.Bind, "*") {
		chain = onAddress
		vips = slices.DeleteFunc(slices.Clone(vips), func(vip netip.Addr) bool { return !s.ListensAt(vip) })
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
	l.add(s.path+".port", "        %s goto %s", to, chain)
	return chain
}
