package importer

import (
	"regexp"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/api"
)

// check is the health check of a backend.
type check struct {
	http   bool // the check sends an HTTP request
	method string
	path   string
	host   string
	ssl    bool // http-check connect ssl
	port   *int
	expect []int
	keep   bool // after a wrong status, the connections to the server stay open
	used   map[int]bool
}

// uses says whether fields of the spec replace a statement of the check.
func (c check) uses(s statement) bool { return c.used[s.line] }

// readCheck reads the directives of a backend's check (HAProxy configuration manual §4.2, option httpchk, http-check).
func (m *mapping) readCheck(p proxy) check {
	c := check{used: map[int]bool{}}
	kind := statement{}
	var rules []statement
	bodies := [][]statement{p.defaults, p.body}
	if m.own { // the generated check is in the backend
		bodies = bodies[1:]
	}
	for _, body := range bodies {
		here := linesOf(body, "http-check")
		if len(here) > 0 {
			rules = here
		}
		for _, s := range body {
			if s.is("option") && (strings.HasSuffix(s.word(1), "chk") || strings.HasSuffix(s.word(1), "-check")) {
				kind = s
			}
		}
	}
	if !kind.is("option", "httpchk") {
		c.ssl = slices.ContainsFunc(linesOf(p.body, "tcp-check"), func(s statement) bool { return s.word(1) == "connect" && slices.Contains(s.words, "ssl") })
		if kind.is("option", "tcp-check") && len(linesOf(p.body, "tcp-check")) == 0 {
			c.used[kind.line] = true
		}
		return c
	}
	c.http, c.method, c.path = true, "OPTIONS", "/"
	c.used[kind.line] = true
	switch len(kind.words) {
	case 2:
	case 3:
		c.path = kind.word(2)
	default:
		c.method, c.path = kind.word(2), kind.word(3)
		c.headers(m, kind, strings.Join(kind.words[min(4, len(kind.words)):], " "))
	}
	expects := false
	for _, s := range rules {
		c.used[s.line] = true
		switch s.word(1) {
		case "connect":
			c.connect(m, s)
		case "send":
			c.send(m, s)
		case "expect":
			if expects {
				m.lost(s.line, "http-check expect", "a health check expects statuses once")
				continue
			}
			c.expected(m, s)
			expects = true
		case "disable-on-404", "send-state", "comment":
			m.lost(s.line, directive(s), "healthCheck has no field for it")
		default:
			m.lost(s.line, directive(s), "healthCheck asks for one path and expects statuses")
		}
	}
	if len(c.expect) == 0 { // HAProxy's own default
		c.expect = statuses(func(status int) bool { return status >= 200 && status < 400 })
	}
	if !slices.Contains([]string{"GET", "HEAD", "OPTIONS"}, c.method) {
		m.lost(kind.line, "option httpchk", "healthCheck.method is GET, HEAD or OPTIONS: GET is used")
		c.method = "GET"
	}
	if !isPath.MatchString(c.path) || len(c.path) > 1024 {
		m.lost(kind.line, "option httpchk", "healthCheck.path cannot be %s: / is used", printable(c.path))
		c.path = "/"
	}
	return c
}

var (
	isPath = regexp.MustCompile(`^/[A-Za-z0-9/._~?=&%+,:@!*()-]*$`)
	isHost = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)
)

// headers reads the text after the path of option httpchk: a version, and headers on separate lines.
func (c *check) headers(m *mapping, s statement, text string) {
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\r' || r == '\n' })
	for i, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		switch value = strings.TrimSpace(value); {
		case i == 0 && strings.HasPrefix(line, "HTTP/"), strings.EqualFold(name, "Connection"):
		case strings.EqualFold(name, "Host"):
			c.setHost(m, s, value)
		default:
			m.lost(s.line, "option httpchk", "healthCheck has no field for a header but Host")
		}
	}
}

func (c *check) setHost(m *mapping, s statement, host string) {
	host = relative(host)
	if !isHost.MatchString(host) || len(host) > 253 || regexp.MustCompile(`(^|\.)[0-9]+$`).MatchString(host) {
		m.lost(s.line, directive(s), "healthCheck.host is a DNS name, not %s", printable(host))
		return
	}
	c.host = host
}

// send reads the request from http-check send.
func (c *check) send(m *mapping, s statement) {
	for i := 2; i < len(s.words); i++ {
		value := s.word(i + 1)
		switch s.words[i] {
		case "meth":
			c.method = value
		case "uri":
			c.path = value
		case "ver":
		case "hdr":
			if strings.EqualFold(value, "Host") {
				c.setHost(m, s, s.word(i+2))
			} else {
				m.lost(s.line, "http-check send hdr", "healthCheck has no field for a header but Host")
			}
			i++
		default:
			m.lost(s.line, "http-check send "+s.words[i], "healthCheck has no field for it")
		}
		i++
	}
}

// connect reads the options of http-check connect.
func (c *check) connect(m *mapping, s statement) {
	for i := 2; i < len(s.words); i++ {
		switch s.words[i] {
		case "ssl":
			c.ssl = true
		case "default":
		case "port":
			c.port = m.number(s, i+1, 1, 65535)
			i++
		case "sni":
			c.setHost(m, s, s.word(i+1))
			i++
		case "addr", "alpn", "proto", "via-socks4", "send-proxy", "linger", "comment":
			m.lost(s.line, "http-check connect "+s.words[i], "healthCheck has no field for it")
			if s.words[i] == "addr" || s.words[i] == "alpn" || s.words[i] == "proto" || s.words[i] == "comment" {
				i++
			}
		}
	}
}

// check fills the healthCheck of a service.
func (m *mapping) check(s *api.Service, p proxy, c check, targets []target) {
	h := &s.HealthCheck
	at := slices.IndexFunc(targets, func(t target) bool { return t.has("check") })
	if at < 0 {
		h.Type = api.CheckNone
		return
	}
	first := targets[at]
	for _, t := range targets {
		if !t.has("check") {
			m.note(t.line, directive(t.statement), "carried over with a health check, because a service has one for all servers")
		}
	}
	h.Type = api.CheckTCP
	overTLS := c.ssl || first.has("check-ssl") || first.has("ssl") && !first.has("port")
	if c.http {
		h.Type, h.Method, h.Path, h.Host, h.ExpectStatus = api.CheckHTTP, c.method, c.path, c.host, c.expect
		h.CutAfter = new(api.Duration)
		if overTLS {
			h.Type = api.CheckHTTPS
		}
	}
	if h.Port = c.port; h.Port == nil {
		h.Port = m.commonPort(targets)
	}
	h.Interval, h.Rise, h.Fall = ms(2000), new(2), new(3)
	m.repeats(h, c, first, targets)
	if s, found := p.last("timeout", "check"); found {
		h.Timeout = m.time(s, 2)
	} else if m.profile == api.Standard && !m.own {
		h.Timeout = h.Interval // HAProxy uses the interval as the timeout in this case
	}
	if h.Type.HTTP() && c.keep {
		h.CutAfter = ms(60_000)
	}
	m.checkWords(h, overTLS, targets)
}

// commonPort returns the port at which most servers are checked; nil if most of them are checked at their own port.
func (m *mapping) commonPort(targets []target) (port *int) {
	own, at := 0, map[int]int{}
	for _, t := range targets {
		checked := m.checkedPort(t)
		switch {
		case checked == nil || !t.has("check"):
		case t.server.Port != nil && *t.server.Port == *checked:
			own++
			at[*checked]++
		default:
			at[*checked]++
			if port == nil || at[*checked] > at[*port] {
				port = checked
			}
		}
	}
	if port != nil && own > at[*port] {
		return nil
	}
	return port
}

// checkedPort returns the port at which a server is checked; nil if the file does not show it.
func (m *mapping) checkedPort(t target) *int {
	if t.has("port") {
		return m.optionNumber(t.statement, t.settings["port"], 1, 65535)
	}
	return t.server.Port
}

// repeats imports the interval and the counts of a check.
func (m *mapping) repeats(h *api.HealthCheck, c check, first target, targets []target) {
	if o, has := first.settings["inter"]; has {
		if d, ok := haproxyTime(o.value); ok && d > 0 {
			h.Interval = &d
		} else {
			m.lost(first.line, directive(first.statement)+" inter", "%s is no time", printable(o.value))
		}
	}
	for _, count := range []struct {
		name  string
		field **int
	}{{"rise", &h.Rise}, {"fall", &h.Fall}} {
		if o, has := first.settings[count.name]; has {
			if n := m.optionNumber(first.statement, o, 1, 1000); n != nil {
				*count.field = n
			}
		}
	}
	if m.own {
		return
	}
	for _, t := range targets {
		for _, name := range []string{"inter", "rise", "fall"} {
			if t.has("check") && t.settings[name].value != first.settings[name].value {
				m.lost(t.line, directive(t.statement)+" "+name, "a service has one health check for all servers")
			}
		}
		checked := m.checkedPort(t)
		switch {
		case c.port != nil || checked == nil || !t.has("check"):
		case h.Port != nil && *checked != *h.Port:
			m.lost(t.line, directive(t.statement)+" port", "a service has one health check for all servers: of port %d", *h.Port)
		case h.Port == nil && (t.server.Port == nil || *checked != *t.server.Port):
			m.lost(t.line, directive(t.statement)+" port", "a service has one health check for all servers: of the port that each serves")
		}
	}
}

func ms(n int) *api.Duration { return new(api.Duration(n) * 1_000_000) }
