package render

import (
	"fmt"
	"net/netip"
	"slices"

	"rlb.dev/rlb-agent/api"
)

// opening is a port of this host that clients reach.
type opening struct {
	field   string // the field of the spec with the port
	port    int
	on      []netip.Addr   // the addresses with the port; nil: every address
	allowed []netip.Prefix // the sources that may reach it; nil: everyone
}

// openings returns the ports of the services. With firewall.allowFrom it also returns those of the stats page and the
// metrics. Without firewall.allowFrom the host's own rules decide on the stats page and the metrics.
func (r *renderer) openings() (all []opening) {
	for _, f := range r.frontends() {
		s := f.services[0]
		o := opening{field: s.path + ".port", port: *s.Port, allowed: r.allowed(r.spec.SourcesOf(s.Service))}
		if !slices.Contains(s.Bind, "*") {
			for _, text := range s.Bind {
				o.on = append(o.on, netip.MustParseAddr(text))
			}
		}
		all = append(all, o)
	}
	for _, own := range []struct{ field, address string }{
		{"proxy.stats.address", r.spec.Proxy.Stats.Address}, {"metrics.address", r.spec.Metrics.Address},
	} {
		at, err := netip.ParseAddrPort(own.address)
		if err != nil || at.Addr().IsLoopback() || len(r.spec.Firewall.AllowFrom) == 0 {
			continue
		}
		o := opening{field: own.field, port: int(at.Port()), allowed: r.allowed(r.spec.Firewall.AllowFrom)}
		if !at.Addr().IsUnspecified() {
			o.on = []netip.Addr{at.Addr()}
		}
		all = append(all, o)
	}
	return all
}

// allowed returns the sources of an allowFrom and the addresses of the nodes, which check through a port whether another
// node serves. It returns nil, for everyone, if allowFrom is empty.
func (r *renderer) allowed(from []string) (sources []netip.Prefix) {
	for _, text := range from {
		if source := netip.MustParsePrefix(text).Masked(); !slices.Contains(sources, source) {
			sources = append(sources, source)
		}
	}
	if len(sources) == 0 {
		return nil
	}
	for _, node := range r.spec.Nodes {
		for _, addr := range node.Addrs() {
			if !slices.ContainsFunc(sources, func(p netip.Prefix) bool { return p.Contains(addr) }) {
				sources = append(sources, netip.PrefixFrom(addr, addr.BitLen()))
			}
		}
	}
	return sources
}

// restricts reports whether a port is closed to some sources. HAProxy must then not serve before the rules are loaded.
func (r *renderer) restricts() bool {
	return *r.spec.Firewall.Manage && slices.ContainsFunc(r.ports, func(o opening) bool { return o.allowed != nil })
}

// portRules opens each port to everyone or to its allowed sources. A port that is open to everyone on all its addresses
// needs no address in its rule. A port that is closed to some sources is closed only on the addresses of its services: on
// another address of the host, a server may have the same port, such as the host's own kube-apiserver.
func (r *renderer) portRules(l *lines, family api.Family) {
	if r.restricts() {
		l.add("firewall.allowFrom", "-A %s -i lo -j RETURN", Chain) // the host itself may reach all ports
	}
	var ports []int
	byPort := map[int][]opening{}
	for _, o := range r.ports {
		if byPort[o.port] == nil {
			ports = append(ports, o.port)
		}
		byPort[o.port] = append(byPort[o.port], o)
	}
	for _, port := range ports {
		openings := byPort[port]
		first := openings[0]
		if first.on == nil || !slices.ContainsFunc(openings, func(o opening) bool { return o.allowed != nil }) {
			first.rules(l, family, "")
			continue
		}
		for _, o := range openings {
			for _, addr := range o.on {
				if api.FamilyOf(addr) == family {
					o.rules(l, family, fmt.Sprintf("-d %v ", netip.PrefixFrom(addr, addr.BitLen())))
				}
			}
		}
	}
}

// rules accepts packets to a port from the allowed sources, and drops all others. iptables-save omits a source with
// prefix length 0.
func (o opening) rules(l *lines, family api.Family, to string) {
	if o.allowed == nil {
		l.add(o.field, "-A %s %s-p tcp -m tcp --dport %d -j ACCEPT", Chain, to, o.port)
		return
	}
	for _, source := range o.allowed {
		switch {
		case api.FamilyOf(source.Addr()) != family:
		case source.Bits() == 0:
			l.add(o.field, "-A %s %s-p tcp -m tcp --dport %d -j ACCEPT", Chain, to, o.port)
		default:
			l.add(o.field, "-A %s -s %v %s-p tcp -m tcp --dport %d -j ACCEPT", Chain, source, to, o.port)
		}
	}
	l.add(o.field, "-A %s %s-p tcp -m tcp --dport %d -j DROP", Chain, to, o.port)
}
