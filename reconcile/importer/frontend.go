package importer

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/render"
)

// front is the client side of a frontend or listen section.
type front struct {
	ports     []int            // in the order of the file
	binds     map[int][]string // addresses by port
	families  map[int]string   // families of the wildcards by port: "4", "6" or both
	accept    map[int]bool     // clients use the PROXY protocol, by port
	client    *api.Duration
	routes    []route
	elsewhere string // the backend for all other connections
	raw       api.Lines
	back      []statement // the server side of a listen section
}

// route sends connections with certain TLS server names to a backend.
type route struct {
	backend string
	names   []string
	line    int
}

// ownFront lists the beginnings of the generated lines that stand before the raw lines of a frontend.
var ownFront = []string{"bind ", "timeout client  "}

// front imports a frontend or listen section as services. It returns the backends that the services use.
func (m *mapping) front(p proxy, backends map[string]proxy) (used []proxy) {
	switch {
	case m.own && p.name == render.HealthFrontend:
		return nil
	case m.own && p.name == render.StatsFrontend, !m.own && p.isStats():
		m.stats(p)
		return nil
	}
	for _, s := range p.body {
		if !m.own && s.is("bind") && endsTLS(s) {
			m.lost(p.line, p.keyword+" "+p.name, "HAProxy ends TLS there; the clients of a service speak TLS with its servers")
			return nil
		}
	}
	f := m.readFront(p)
	if !m.own && p.isHTTP() {
		m.note(p.line, p.keyword+" "+p.name, "carried over as TCP: HAProxy reads no requests any more, and balances connections in place of them")
	}
	if f.elsewhere == "" && p.keyword == "frontend" {
		if s, found := p.last("default_backend"); found {
			f.elsewhere = s.word(1)
		}
	}
	type target struct {
		proxy
		names []string // none for the backend of all other connections
	}
	var targets []target
	if p.keyword == "listen" && (f.elsewhere == "" || len(linesOf(f.back, "server")) > 0) {
		own := p
		own.body = f.back
		targets = append(targets, target{proxy: own})
	}
	lead := func(name string, names []string, line int) (carried bool) {
		b, found := backends[name]
		same := func(t target) bool {
			return t.keyword == "backend" && t.name == name && (len(t.names) == 0) == (len(names) == 0)
		}
		switch at := slices.IndexFunc(targets, same); {
		case !found:
			m.lost(line, "backend "+name, "the file has no such backend")
			return false
		case at >= 0 && len(targets[at].names) > maxNames:
			m.lost(line, "backend "+name, "a service has at most %d TLS server names", maxNames)
			return false
		case at >= 0:
			targets[at].names = append(targets[at].names, names...)
		default:
			targets = append(targets, target{b, names})
		}
		return true
	}
	if f.elsewhere != "" {
		lead(f.elsewhere, nil, p.line)
	}
	for _, r := range m.effective(f) {
		if lead(r.backend, r.names, r.line) && r.backend == f.elsewhere {
			m.note(r.line, "use_backend "+r.backend, "carried over as a service of its own, because the one that takes the rest has no names; both check the servers")
		}
	}
	if len(f.ports) == 0 {
		m.lost(p.line, p.keyword+" "+p.name, "nothing of it listens")
		return nil
	}
	m.newFamilies(p, f)
	slices.SortStableFunc(targets, func(a, b target) int { return a.line - b.line }) // the order of the spec
	for i, t := range targets {
		if t.keyword == "backend" {
			used = append(used, t.proxy)
		}
		base := strings.TrimSuffix(p.name, ":in")
		if len(targets) > 1 || m.own {
			base = t.name
		}
		for j, port := range f.ports {
			s := api.Service{Port: &port, Bind: f.binds[port], SNI: t.names, AcceptProxyProtocol: f.accept[port]}
			if s.Timeouts.Client = f.client; s.Timeouts.Client == nil {
				s.Timeouts.Client = m.differing(p, "client")
			}
			if i == 0 {
				s.ExtraFrontend = f.raw
			}
			name := base
			if j > 0 {
				name = fmt.Sprintf("%s-%d", base, port)
				m.note(p.line, p.keyword+" "+p.name, "carried over as service %s too, because a service has one port", serviceName(name))
			}
			m.service(&s, name, t.proxy, p)
		}
	}
	if len(targets) == 0 {
		m.lost(p.line, p.keyword+" "+p.name, "it leads to no backend")
	}
	return used
}

// service adds a service if its backend has servers.
func (m *mapping) service(s *api.Service, name string, back, front proxy) {
	if len(m.spec.Services) >= maxServices {
		m.lost(front.line, front.keyword+" "+front.name, "a spec has at most %d services", maxServices)
		return
	}
	if m.work += len(back.body); m.work > maxWork {
		m.lost(front.line, front.keyword+" "+front.name, "the services before have more than %d lines", maxWork)
		return
	}
	if m.backend(s, back); len(s.Servers) == 0 {
		m.lost(front.line, front.keyword+" "+front.name, "%s %s has no servers that are carried over", back.keyword, printable(back.name))
		return
	}
	unique := serviceName(name)
	for n := 2; m.names[unique]; n++ {
		unique = serviceName(name)
		unique = unique[:min(len(unique), maxName-5)] + "-" + strconv.Itoa(n)
	}
	m.names[unique] = true
	if s.Name = unique; unique != name {
		m.note(front.line, front.keyword+" "+front.name, "carried over as service %s", unique)
	}
	m.spec.Services = append(m.spec.Services, *s)
}

// The limits of the spec and of one import.
const (
	maxName       = 128
	maxServices   = 1000
	maxServers    = 10_000  // in a service
	maxAllServers = 100_000 // server lines, for all services
	maxWork       = 500_000 // backend lines, for all services, because many services may use one backend
)

// serviceName converts a name of HAProxy to one that the spec accepts.
func serviceName(name string) string {
	name = strings.Map(func(c rune) rune {
		if c < 0x80 && (c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.ContainsRune("._-", c)) {
			return c
		}
		return '-'
	}, name)
	name = strings.TrimLeft(name, "._-")
	if name == "" {
		return "service"
	}
	return name[:min(len(name), maxName)]
}

// readFront reads the client side of a section.
func (m *mapping) readFront(p proxy) front {
	f := front{binds: map[int][]string{}, families: map[int]string{}, accept: map[int]bool{}}
	body := p.body
	if m.own {
		start, end := head(body, ownFront), ownRoutes(body)
		for _, s := range body[start:max(start, end)] {
			m.raw(&f.raw, s)
		}
		body = slices.Concat(body[:start], body[max(start, end):])
	}
	names := serverNameACLs(body)
	usesNames := m.readRoutes(&f, body, names)
	if at := p.word(2); p.keyword != "backend" && strings.Contains(at, ":") { // up to HAProxy 2.0 the section header may have an address
		m.listen(&f, statement{p.line, p.text, []string{"bind", at}, nil})
	}
	http := p.isHTTP()
	for _, s := range body {
		switch {
		case s.is("bind"):
			m.listen(&f, s)
		case s.is("timeout", "client"):
			f.client = m.time(s, 2)
		case s.is("use_backend"), s.is("default_backend") && p.keyword == "frontend", s.is("mode"):
		case s.is("acl") && names[s.word(1)] != nil && usesNames:
		case usesNames && s.is("tcp-request", "inspect-delay"), usesNames && s.is("tcp-request", "content", "accept") && isHello(s):
		case usesNames && len(s.words) == 3 && s.is("tcp-request", "content", "reject"): // raw lines come before the generated rule
			m.lost(s.line, "tcp-request content", "a connection without a TLS server name goes to the service without sni, or is closed")
		case p.keyword == "listen" && !isFrontOnly(s):
			f.back = append(f.back, s)
		case m.isMapped(s):
		case http && s.is("acl"):
			m.lost(s.line, "acl", "services are TCP, and told apart by port and TLS server name only")
		case m.mayStand(s):
			m.raw(&f.raw, s)
		}
	}
	return f
}

// frontOnly are keywords of a listen section that belong to the client side.
var frontOnly = []string{"maxconn", "backlog", "log", "log-format", "log-tag", "monitor-net", "rate-limit", "acl", "tcp-request", "declare", "grace"}

func isFrontOnly(s statement) bool {
	return slices.Contains(frontOnly, s.word(0)) || s.is("timeout", "client-fin") || s.is("timeout", "client-hs") ||
		s.is("option") && slices.Contains([]string{"clitcpka", "tcplog", "dontlognull", "dontlog-normal", "contstats", "logasap", "socket-stats", "tcp-smart-accept", "nolinger"}, s.word(1))
}

// listen imports a bind line.
func (m *mapping) listen(f *front, s statement) {
	all, why := parseBind(s.word(1))
	if why != "" {
		m.lost(s.line, "bind", "%s", why)
		return
	}
	accepts := m.bindWords(s)
	for _, l := range all {
		here := f.binds[l.port]
		switch {
		case here == nil:
			f.ports, f.accept[l.port] = append(f.ports, l.port), accepts
		case f.accept[l.port] != accepts:
			m.lost(s.line, "bind", "acceptProxyProtocol holds for all addresses of a service: %t", !accepts)
		}
		if l.address == "*" {
			families := l.family
			if l.family == "6" && slices.Contains(s.words, "v4v6") {
				families = "64"
			}
			m.lostFamilies(s, families)
			f.families[l.port] += families
		}
		switch {
		case slices.Contains(here, l.address), slices.Contains(here, "*"):
		case l.address == "*":
			f.binds[l.port] = []string{"*"}
		case len(here) >= maxBinds:
			m.lost(s.line, "bind", "a service has at most %d addresses", maxBinds)
		default:
			f.binds[l.port] = append(here, l.address)
		}
	}
}

// lostFamilies reports the address families in which a wildcard bind line listens and the service does not.
func (m *mapping) lostFamilies(s statement, families string) {
	for _, family := range families {
		if len(m.spec.VirtualIPs) > 0 && !m.serves(family) { // without virtual IPs, their absence is reported
			m.lost(s.line, "bind on IPv"+string(family), "a service listens in the families of the virtual IPs")
		}
	}
}

// newFamilies reports the address families in which a service listens because of a wildcard bind line of the other family.
func (m *mapping) newFamilies(p proxy, f front) {
	for _, port := range f.ports {
		for _, family := range "46" {
			if families := f.families[port]; families != "" && !strings.ContainsRune(families, family) && m.serves(family) {
				m.note(p.line, p.keyword+" "+p.name, "carried over with port %d for IPv%c too, because a service listens in the families of the virtual IPs", port, family)
			}
		}
	}
}

// serves says whether there is a virtual IP of a family, '4' or '6'.
func (m *mapping) serves(family rune) bool {
	return slices.ContainsFunc(m.spec.VirtualIPs, func(v api.VirtualIP) bool { return v.Addr().Is6() == (family == '6') })
}

// readRoutes imports the choice of the backend for a connection. byName says that the choice depends on TLS server names.
func (m *mapping) readRoutes(f *front, body []statement, acls map[string][]string) (byName bool) {
	found := maps.Clone(acls)
	all := 0 // the line of the first use_backend without a condition
	for _, s := range body {
		switch {
		case s.is("default_backend") && all == 0:
			f.elsewhere = s.word(1)
		case s.is("use_backend") && all > 0:
			m.lost(s.line, directive(s), "line %d takes all connections before", all)
		case s.is("use_backend") && strings.Contains(s.word(1), "%["):
			m.lost(s.line, directive(s), "a service has the servers of one backend, whatever the connection")
		case s.is("use_backend") && len(s.words) == 2:
			f.elsewhere, all = s.word(1), s.line
		case s.is("use_backend"):
			names, why := routeNames(s, found)
			switch {
			case m.own && strings.HasSuffix(s.word(1), ":failopen"):
			case why != "":
				m.lost(s.line, directive(s), "%s", why)
			default:
				if names = m.withoutDotted(s, names); len(names) > 0 {
					f.routes = append(f.routes, route{s.word(1), names, s.line})
					byName = true
				}
			}
		}
	}
	return byName
}
