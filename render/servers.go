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
	Weight         int    // 1 where the line has none
	MaxConnections int    // 0 where the line has none
	Rest           string // all other words
	Line           string // the words behind "server"
}

// IsName says whether the server is given by its DNS name.
func (s Server) IsName() bool { return isName(s.Address) }

// Addr is where the server listens; not valid where the line has a DNS name.
func (s Server) Addr() netip.AddrPort {
	addr, err := netip.ParseAddr(s.Address)
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(s.Port))
}

// ParseServer reads a server line of an installed file, as it is rendered. ok says that it could.
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

// take sorts the words behind the address of a line: numbers that the runtime API can change, and the rest.
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

// server makes the line of a server, with its health check or, in the backend that fails open, without.
func (r *renderer) server(in *service, of *api.Server, checked bool) Server {
	s := Server{Name: of.Name, Address: of.Address, Port: *of.Port}
	address := of.Address
	if addr, err := netip.ParseAddr(of.Address); err == nil && addr.Is6() {
		address = "[" + addr.String() + "]"
	}
	var words []string
	add := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	switch {
	case checked && in.HealthCheck.Type != api.CheckNone:
		words = r.check(in, of)
	case !checked && r.hasDefaultServer(in):
		add("no-check")
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
	if of.Backup && checked {
		add("backup")
	}
	if isName(of.Address) {
		words = append(words, r.resolving())
	}
	if in.ExtraServer != "" {
		words = append(words, in.ExtraServer)
	}
	s.Line = strings.Join(append([]string{s.Name, fmt.Sprintf("%s:%d", address, s.Port)}, words...), " ")
	s.take(strings.Fields(s.Line)[2:])
	return s
}

// check are the words of a server's health check.
func (r *renderer) check(in *service, of *api.Server) (words []string) {
	h := &in.HealthCheck
	add := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	add("check")
	otherPort := h.Port != nil && *h.Port != *of.Port
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
		add("on-marked-down shutdown-sessions")
	}
	if r.facts.HAProxyVersion.atLeast(gates.haproxyInitState) {
		// The first good check makes a server fully up, as before 3.4. There, by default, it takes as many as rise says,
		// and until then one bad check takes the server down.
		add("init-state up")
	}
	if in.SendProxyProtocol != api.ProxyNone && !otherPort {
		add("check-send-proxy") // in the version that the server's own connections have
	}
	return words
}

// repeat is the pause after a check by which a server may be about to change its state. HAProxy begins to count when a
// check has ended, so that with the interval alone three checks that hang take 10 to 12 s with the defaults; so they
// take 6 to 8.
func repeat(h *api.HealthCheck) time.Duration {
	return max(h.Interval.D()-h.Timeout.D(), h.Interval.D()/80, time.Millisecond)
}
