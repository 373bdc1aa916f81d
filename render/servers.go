package render

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"rlb.dev/rlb-agent/api"
)

// Server is a server line of haproxy.cfg (HAProxy configuration manual §5.2).
type Server struct {
	Name           string
	Address        string // without brackets; an address or a DNS name
	Port           int
	Weight         int    // 1 if the line has none
	MaxConnections int    // 0 if the line has none
	Rest           string // all other words
	Line           string // the words after "server"
}

// IsName reports whether the server is given by its DNS name.
func (s Server) IsName() bool { return isName(s.Address) }

// Addr returns the address and port of the server. It is not valid if the line has a DNS name.
func (s Server) Addr() netip.AddrPort {
	addr, err := netip.ParseAddr(s.Address)
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(s.Port))
}

// ParseServer reads a server line of an installed file, in the form in which the agent renders it. ok is false if the
// line has another form.
func ParseServer(line string) (s Server, ok bool) {
	words := strings.Fields(line)
	if len(words) < 3 || words[0] != "server" {
		return s, false
	}
	colon := strings.LastIndex(words[2], ":")
	if colon < 0 {
		return s, false
	}
	port, err := strconv.Atoi(words[2][colon+1:])
	s = Server{Name: words[1], Address: strings.Trim(words[2][:colon], "[]"), Port: port}
	return s, s.take(words[3:]) && err == nil
}

// take separates the words after the address of a line: the numbers that the runtime API can change, and the rest.
func (s *Server) take(words []string) (ok bool) {
	ok, s.Weight = true, 1
	number := func(text string) int {
		n, err := strconv.Atoi(text)
		ok = ok && err == nil
		return n
	}
	var rest []string
	for i := 0; i < len(words); i++ {
		switch {
		case words[i] == "weight" && i+1 < len(words):
			i++
			s.Weight = number(words[i])
		case words[i] == "maxconn" && i+1 < len(words):
			i++
			s.MaxConnections = number(words[i])
		default:
			rest = append(rest, words[i])
		}
	}
	s.Rest = strings.Join(rest, " ")
	return ok
}

// serverLines makes the lines of the servers of one backend. A backend may have thousands of servers, and nearly all have
// the same words after their address, so these words are made and read once.
type serverLines struct {
	*renderer
	in      *service
	checked bool // with health checks; the second backend, which fails open, has none

	checks [2]string // the words of the check: on the server's own port, and on another
	words  string    // the words of the last line
	sorted Server    // the values in these words
	line   []byte    // buffer for the next line
}

// server makes the line of a server.
func (l *serverLines) server(s *Server, of *api.Server) {
	if words := l.wordsOf(of); words != l.words {
		l.words, l.sorted = words, Server{}
		l.sorted.take(strings.Fields(words))
	}
	*s = l.sorted
	s.Name, s.Address, s.Port = of.Name, of.Address, *of.Port
	l.line = append(append(l.line[:0], s.Name...), ' ')
	if addr, err := netip.ParseAddr(of.Address); err == nil && addr.Is6() {
		l.line = append(append(append(l.line, '['), addr.String()...), ']')
	} else {
		l.line = append(l.line, of.Address...)
	}
	l.line = strconv.AppendInt(append(l.line, ':'), int64(s.Port), 10)
	if l.words != "" {
		l.line = append(append(l.line, ' '), l.words...)
	}
	s.Line = string(l.line)
}

// wordsOf returns the words after a server's address.
func (l *serverLines) wordsOf(of *api.Server) string {
	in, common := l.in, ""
	var more []string
	add := func(format string, args ...any) { more = append(more, fmt.Sprintf(format, args...)) }
	switch {
	case l.checked && in.HealthCheck.Type != api.CheckNone:
		common = l.check(of)
	case !l.checked && l.hasDefaultServer(in):
		common = "no-check"
	}
	switch in.SendProxyProtocol {
	case api.ProxyV1:
		add("send-proxy")
	case api.ProxyV2:
		add("send-proxy-v2")
	}
	if of.Weight != nil {
		add("weight %d", *of.Weight)
	}
	if of.MaxConnections != nil {
		add("maxconn %d", *of.MaxConnections)
	}
	if of.Backup && l.checked {
		add("backup")
	}
	if isName(of.Address) {
		more = append(more, l.resolving())
	}
	if in.ExtraServer != "" {
		more = append(more, in.ExtraServer)
	}
	if len(more) == 0 {
		return common
	}
	if common != "" {
		more = append([]string{common}, more...)
	}
	return strings.Join(more, " ")
}

// check returns the words of a server's health check.
func (l *serverLines) check(of *api.Server) string {
	port := 0
	if h := &l.in.HealthCheck; h.Port != nil && *h.Port != *of.Port {
		port = 1
	}
	if l.checks[port] == "" {
		l.checks[port] = strings.Join(l.checkWords(l.in, port == 1), " ")
	}
	return l.checks[port]
}

// checkWords makes the words of a health check on the server's own port or on another.
func (r *renderer) checkWords(in *service, otherPort bool) (words []string) {
	h := &in.HealthCheck
	add := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	add("check")
	if otherPort {
		add("port %d", *h.Port)
	}
	if h.Type == api.CheckHTTPS && h.CAFile != "" {
		add("check-ssl verify required ca-file %s", h.CAFile)
	} else if h.Type == api.CheckHTTPS {
		add("check-ssl verify none")
	}
	if h.Type == api.CheckHTTPS && h.Host != "" {
		add("check-sni %s", h.Host)
	}
	add("inter %s rise %d fall %d", millis(h.Interval), *h.Rise, *h.Fall)
	if r.spec.Profile == api.Standard {
		add("fastinter %dms", repeat(h).Milliseconds())
	}
	if CutsDown(r.spec, in.Service) {
		add("on-marked-down shutdown-sessions")
	}
	if r.facts.HAProxyVersion.atLeast(gates.haproxyInitState) {
		// The first good check makes a server fully up, as before 3.4. From 3.4 on, by default, as many good checks as
		// rise are needed, and until then one bad check takes the server down.
		add("init-state up")
	}
	if in.SendProxyProtocol != api.ProxyNone && !otherPort {
		add("check-send-proxy") // in the same version as on the server's connections
	}
	return words
}

// CutsDown reports whether HAProxy ends the connections to a server of the service when its health check takes it down.
func CutsDown(spec *api.LoadBalancerSpec, s *api.Service) bool {
	return spec.Profile == api.Standard && s.HealthCheck.Type != api.CheckNone
}

// repeat returns the pause after a check that may begin a change of the server's state (fastinter). HAProxy counts the
// pause from the end of a check. With the defaults, three checks that hang take 10 to 12 s with the interval alone, and 6
// to 8 s with this pause.
func repeat(h *api.HealthCheck) time.Duration {
	return max(h.Interval.D()-h.Timeout.D(), h.Interval.D()/80, time.Millisecond)
}
