package render

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/api"
)

// service is a service of the spec with its path there.
type service struct {
	*api.Service
	path string
}

// frontend is what listens for a service, or for several on one address and port that TLS server names tell apart.
type frontend struct {
	services []service // in the order of the spec
}

// frontends are those of the spec, in the order of their first services. Services with the same addresses and port are
// one: the rules of the spec allow that only where sni tells them apart.
func (r *renderer) frontends() []*frontend {
	var all []*frontend
	listening := map[string]*frontend{}
	for i := range r.spec.Services {
		s := service{&r.spec.Services[i], fmt.Sprintf("services[%d]", i)}
		place := fmt.Sprint(slices.Compact(slices.Sorted(slices.Values(s.Bind))), *s.Port)
		if listening[place] == nil {
			listening[place] = new(frontend)
			all = append(all, listening[place])
		}
		listening[place].services = append(listening[place].services, s)
	}
	return all
}

// frontend renders what listens, and which backend gets the connection.
func (r *renderer) frontend(l *lines, f *frontend) {
	first := f.services[0]
	name := r.frontendName(first.Service)
	r.model.Frontends = append(r.model.Frontends, Frontend{name, first.path, r.listen(first.Service)})
	l.section(2, first.path, "frontend %s", name)
	for _, bind := range r.binds(first.Service) {
		l.add(first.path+".bind", "    bind %s", bind)
	}
	l.timeout(first.path+".timeouts.client", "client ", first.Timeouts.Client)
	for _, s := range f.services {
		l.raw(s.path+".extraFrontend", s.ExtraFrontend)
	}
	r.byServerName(l, f)
	for _, s := range f.services {
		if len(s.SNI) == 0 {
			r.useFailOpen(l, s, "")
			l.add(s.path, "    default_backend %s", s.Name)
		}
	}
}

// frontendName is the name of a service's frontend: that of its backend where HAProxy allows it, so that older versions
// and the original's files stay as they are. The colon keeps it apart from every service's.
func (r *renderer) frontendName(s *api.Service) string {
	if r.facts.HAProxyVersion.atLeast(gates.haproxyOwnNames) {
		return s.Name + ":in"
	}
	return s.Name
}

// helloTime is how long a frontend waits for a TLS ClientHello to be complete, in milliseconds.
const helloTime = 5000

// byServerName renders the choice of a backend by the server name that the client asks for in its TLS ClientHello
// (HAProxy configuration manual §7.3.5, req.ssl_sni). The name is waited for until it is there, so that a ClientHello may
// come in several segments; what is no TLS, or has no name, goes on at once.
func (r *renderer) byServerName(l *lines, f *frontend) {
	names := f.serverNames()
	if len(names) == 0 {
		return
	}
	origin := f.services[0].path + ".sni"
	l.add(origin, "    tcp-request inspect-delay %dms", helloTime)
	l.add(origin, "    tcp-request content accept if { req.ssl_sni -m found }")
	for _, n := range names {
		match := "-i " + n.text
		if suffix, wildcard := strings.CutPrefix(n.text, "*"); wildcard {
			match = "-m end -i " + suffix
		}
		condition := fmt.Sprintf("{ req.ssl_sni %s }", match)
		r.useFailOpen(l, n.service, condition)
		l.add(n.path, "    use_backend %s if %s", n.service.Name, condition)
	}
}

// serverName is a TLS server name, or "*." and a domain, with the service that it leads to.
type serverName struct {
	text    string
	path    string
	service service
}

// serverNames are those of a frontend in the order in which they are tried: names first, then wildcards, those of the
// longest domain first.
func (f *frontend) serverNames() (names []serverName) {
	for _, s := range f.services {
		for i, text := range s.SNI {
			names = append(names, serverName{text, fmt.Sprintf("%s.sni[%d]", s.path, i), s})
		}
	}
	rank := func(n serverName) int {
		if strings.HasPrefix(n.text, "*") {
			return -len(n.text)
		}
		return -1000 // a DNS name has at most 253 characters
	}
	slices.SortStableFunc(names, func(a, b serverName) int { return cmp.Compare(rank(a), rank(b)) })
	return names
}

// useFailOpen renders the use of a service's second backend, if it has one, in connections that meet the condition.
func (r *renderer) useFailOpen(l *lines, s service, condition string) {
	if failsOpen(s.Service) {
		condition = strings.TrimSpace(condition + " { nbsrv(" + s.Name + ") eq 0 }")
		l.add(s.path+".failOpen", "    use_backend %s if %s", FailOpenBackend(s.Name), condition)
	}
}

// binds are the arguments of the bind lines of a service (HAProxy configuration manual §5.1).
func (r *renderer) binds(s *api.Service) []string {
	var binds []string
	for _, text := range s.Bind {
		if text != "*" {
			binds = append(binds, bindTo(netip.MustParseAddr(text), *s.Port))
			continue
		}
		for _, family := range r.order {
			if family == api.IPv4 {
				binds = append(binds, fmt.Sprintf("*:%d", *s.Port))
			} else {
				binds = append(binds, fmt.Sprintf(":::%d v6only", *s.Port))
			}
		}
	}
	if s.AcceptProxyProtocol {
		for i := range binds {
			binds[i] += " accept-proxy"
		}
	}
	return binds
}

func bindTo(addr netip.Addr, port int) string {
	return netip.AddrPortFrom(addr, uint16(port)).String() + unheld(addr)
}

// unheld is the option of a bind line whose address may not be on the host, or "": a virtual IP is not on the standby, a
// node's address not on its peer, and at boot perhaps neither. HAProxy must start all the same, and serve when it comes.
func unheld(addr netip.Addr) string {
	if addr.IsLoopback() {
		return ""
	}
	return " transparent"
}
