package render

import (
	"fmt"
	"net/netip"
	"slices"

	"rlb.dev/rlb-agent/api"
)

// opening is a port of this host that clients reach.
type opening struct {
	field   string // of the spec, for the port
	port    int
	on      []netip.Addr   // where it is; nil: on every address
	allowed []netip.Prefix // who may reach it; nil: everyone
}

// openings are the services' ports, and those of the stats page and the metrics: they are nobody's business but that of
// firewall.allowFrom, so without it the host's own rules judge them.
func (r *renderer) openings() (all []opening) {
	for _, f := range r.frontends() {
		s := f.services[0]
		from, on := s.AllowFrom, s.Bind
		if len(from) == 0 {
			from = r.spec.Firewall.AllowFrom
		}
		o := opening{field: s.path + ".port", port: *s.Port, allowed: r.allowed(from)}
		if !slices.Contains(on, "*") {
			for _, text := range on {
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

// allowed are the sources of an allowFrom, and with it the nodes: they find out through a port whether another one serves.
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

// restricts says whether a port is closed to anyone, so that HAProxy must not serve before the rules are there.
func (r *renderer) restricts() bool {
	return *r.spec.Firewall.Manage && slices.ContainsFunc(r.ports, func(o opening) bool { return o.allowed != nil })
}

// portRules opens the ports, each to everyone or to those who may. What is open to the same sources on all addresses that
// have the port needs no address in its rules.
func (r *renderer) portRules(l *lines, family api.Family) {
	if r.restricts() {
		l.add("firewall.allowFrom", "-A %s -i lo -j RETURN", Chain) // the host itself is not a source to keep out
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
		if !slices.ContainsFunc(openings, func(o opening) bool { return !slices.Equal(o.allowed, first.allowed) }) {
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

// rules lets in those who may reach a port, and nobody else. iptables-save leaves out a source that is everyone.
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
