package render

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/api"
)

// service is a service of the spec with its path in the spec.
type service struct {
	*api.Service
	path string
}

// frontend is a frontend of one service, or of several services on one address and port that TLS server names
// distinguish.
type frontend struct {
	services []service // in the order of the spec
}

// frontends returns the frontends of the spec, in the order of their first services. Services with the same addresses
// and port share one: the rules of the spec allow this only if sni distinguishes the services.
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

// frontend renders a frontend: its listeners, and the choice of a backend.
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

// frontendName returns the name of a service's frontend. It is the name of the backend if HAProxy allows that, so that
// files for older versions and those of the original do not change. No service has a colon in its name.
func (r *renderer) frontendName(s *api.Service) string {
	if r.facts.HAProxyVersion.atLeast(gates.haproxyOwnNames) {
		return s.Name + ":in"
	}
	return s.Name
}

// helloTime is how long a frontend waits for a TLS ClientHello to be complete, in milliseconds.
const helloTime = 5000

// byServerName renders the choice of a backend by the server name that the client asks for in its TLS ClientHello
// (HAProxy configuration manual §7.3.5, req.ssl_sni). HAProxy waits for the name, because a ClientHello may come in
// several segments. A connection without TLS, or without a name, continues at once.
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

// serverName is a TLS server name, or "*." and a domain, and the service for it.
type serverName struct {
	text    string
	path    string
	service service
}

// serverNames returns the server names of a frontend in the order in which HAProxy tries them: names first, then
// wildcards, those with the longest domain first.
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

// useFailOpen renders the use of a service's second backend, if it has one, for connections that meet the condition.
func (r *renderer) useFailOpen(l *lines, s service, condition string) {
	if failsOpen(s.Service) {
		condition = strings.TrimSpace(condition + " { nbsrv(" + s.Name + ") eq 0 }")
		l.add(s.path+".failOpen", "    use_backend %s if %s", FailOpenBackend(s.Name), condition)
	}
}

// binds returns the arguments of the bind lines of a service (HAProxy configuration manual §5.1).
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

// unheld returns the bind option for an address that the host may not hold, or "" for loopback. A standby does not hold
// the virtual IPs, a node does not hold its peer's addresses, and at boot a host may hold neither. HAProxy must start
// nevertheless, and serve as soon as the host holds the address.
func unheld(addr netip.Addr) string {
	if addr.IsLoopback() {
		return ""
	}
	return " transparent"
}
