package importer

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/render"
)

// balances are the algorithms that the spec supports.
var balances = []string{"roundrobin", "leastconn", "source", "static-rr", "first"}

// ownBack lists the beginnings of the generated lines that stand before the raw lines of a backend.
var ownBack = []string{"balance ", "option redispatch", "timeout connect ", "timeout server  ", "timeout tunnel  ", "option httpchk ", "timeout check "}

// backend imports a backend, or the server side of a listen section.
func (m *mapping) backend(s *api.Service, p proxy) {
	body := p.body
	var tail string
	var servers []statement
	if m.own {
		start, end := m.ownBackend(body)
		for _, line := range body[start:end] {
			m.raw(&s.ExtraBackend, line)
		}
		servers = linesOf(body[end:], "server")
		tail = m.ownTail(servers)
		for i := range servers {
			servers[i] = servers[i].without(tail)
		}
		p.body = slices.Concat(body[:start], body[end:])
	} else {
		servers = linesOf(body, "server")
		for _, line := range linesOf(body, "server-template") {
			m.lost(line.line, directive(line), "servers stand one by one")
		}
	}
	names := []string{"connect", "server", "tunnel"}
	m.timeouts(&s.Timeouts, proxy{section: p.section}, names...)
	for _, name := range names {
		if at := timeoutOf(&s.Timeouts, name); *at == nil {
			*at = m.differing(p, name)
		}
	}
	if s.Timeouts.Tunnel == nil {
		s.Timeouts.Tunnel = m.noTunnel(s, p)
	}
	m.balance(s, p)
	targets := m.targets(p, servers, tail)
	c := m.readCheck(p)
	for _, t := range targets {
		s.Servers = append(s.Servers, t.server)
	}
	if len(targets) == 0 {
		return
	}
	m.check(s, p, c, targets)
	m.serverWords(s, targets)
	s.FailOpen = new(m.own && m.failsOpen[p.name])
	if m.own {
		return
	}
	http := p.isHTTP()
	for _, line := range p.body {
		switch {
		case line.is("server"), line.is("server-template"), line.is("timeout", "connect"), line.is("timeout", "server"), line.is("timeout", "tunnel"), line.is("timeout", "check"),
			line.is("balance"), line.is("option", "redispatch"), line.is("no", "option", "redispatch"), c.uses(line), line.is("mode"), line.is("default-server"):
		case line.is("retries"):
			m.lost(line.line, "retries", "proxy.retries holds for all services")
		case line.is("use-server"), http && line.is("acl"):
			m.lost(line.line, directive(line), "services are TCP, and balance over all of their servers")
		case m.isMapped(line) && !line.is("tcp-check") && !line.is("http-check") && !line.is("option", "tcp-check"):
		case m.mayStand(line):
			m.raw(&s.ExtraBackend, line)
		}
	}
}

// linesOf returns the statements with a keyword.
func linesOf(body []statement, keyword string) (found []statement) {
	for _, s := range body {
		if s.is(keyword) {
			found = append(found, s)
		}
	}
	return found
}

func timeoutOf(t *api.Timeouts, name string) **api.Duration {
	switch name {
	case "connect":
		return &t.Connect
	case "client":
		return &t.Client
	case "server":
		return &t.Server
	}
	return &t.Tunnel
}

// differing returns the timeout that a section inherits from its own defaults section, if it differs from proxy.timeouts, or
// nil. proxy.timeouts comes from the main defaults section.
func (m *mapping) differing(p proxy, name string) *api.Duration {
	if m.own {
		return nil
	}
	s, found := proxy{defaults: p.defaults}.last("timeout", name)
	main := *timeoutOf(&m.spec.Proxy.Timeouts, name)
	d, ok := haproxyTime(s.word(2))
	if !found || !ok || d == 0 || main != nil && *main == d {
		return nil
	}
	return &d
}

// noTunnel returns the tunnel timeout for a service if the file has none and the profile would set one. Without a tunnel
// timeout HAProxy applies those of the client and of the server, so noTunnel returns the shorter of them.
func (m *mapping) noTunnel(s *api.Service, p proxy) *api.Duration {
	if _, found := (proxy{defaults: p.defaults}).last("timeout", "tunnel"); found || m.own || m.profile != api.Standard {
		return nil
	}
	main := &m.spec.Proxy.Timeouts
	client, server := cmp.Or(s.Timeouts.Client, main.Client), cmp.Or(s.Timeouts.Server, main.Server)
	if client == nil || server != nil && *server < *client {
		return server
	}
	return client
}

// ownBackend returns where the raw lines of a rendered backend begin and end.
func (m *mapping) ownBackend(body []statement) (start, end int) {
	end = len(body)
	for end > 0 && body[end-1].is("server") && m.sameCheck(body[end-1], body[len(body)-1]) {
		end--
	}
	start = head(body[:end], ownBack)
	asks := slices.ContainsFunc(body[:start], func(s statement) bool { return s.is("option", "httpchk") })
	if asks && end > start && ownExpect.MatchString(body[end-1].text) {
		if end--; end > start && isOwnSend(body[start:end], request(body[:start])) {
			end--
		}
	}
	checks := end < len(body) && slices.Contains(body[len(body)-1].words, "check")
	for i, s := range body[:start] { // a check line that no check has generated is raw
		if s.is("option", "httpchk") && (!checks || !asksStatus(body[end:])) || s.is("timeout", "check") && !checks {
			return i, max(i, end)
		}
	}
	return start, max(start, end)
}

// ownExpect matches the generated line on expected statuses.
var ownExpect = regexp.MustCompile(`^    http-check expect (error-status L7OKC )?(status [0-9,]+|rstatus \^\([0-9|]+\)\$)$`)

// isOwnSend says whether the last of these statements is the generated line that sends the request of a health check.
func isOwnSend(body []statement, request string) bool {
	last := body[len(body)-1]
	if last.is("http-check", "send", "hdr", "Host") {
		return strings.HasSuffix(request, " HTTP/1.1")
	}
	var before []string
	for _, s := range body[:len(body)-1] {
		before = append(before, s.text)
	}
	return last.text == "    http-check send" && render.EndsWithConnect(before)
}

// request returns the text of option httpchk.
func request(body []statement) (text string) {
	for _, s := range body {
		if s.is("option", "httpchk") {
			text = s.text
		}
	}
	return text
}

func asksStatus(body []statement) bool {
	return slices.ContainsFunc(body, func(s statement) bool { return s.is("http-check", "expect") })
}

// sameCheck says whether two generated server lines have the same health check, apart from the port.
func (m *mapping) sameCheck(a, b statement) bool {
	of := func(s statement) string {
		all, _ := m.ownOptions(s)
		var words []string
		for _, o := range all {
			if at := slices.Index(generatedOptions, o.name); at < slices.Index(generatedOptions, "check-send-proxy") && o.name != "port" {
				words = append(words, o.text)
			}
		}
		return strings.Join(words, " ")
	}
	return of(a) == of(b)
}

// balance imports the algorithm. An algorithm that the spec does not support stays as a raw line, which replaces the field.
func (m *mapping) balance(s *api.Service, p proxy) {
	b, found := p.last("balance")
	switch {
	case !found:
		s.Balance = "roundrobin"
	case slices.Contains(balances, b.word(1)) && len(b.words) == 2:
		s.Balance = b.word(1)
	case slices.Contains([]string{"random", "random(2)", "rdp-cookie", "hash"}, b.word(1)):
		m.raw(&s.ExtraBackend, b)
	default:
		m.lost(b.line, "balance", "services have roundrobin, leastconn, source, static-rr or first: roundrobin is used")
	}
}

// targets returns the servers of a backend.
func (m *mapping) targets(p proxy, servers []statement, tail string) (targets []target) {
	var defaults []option
	if !m.own {
		for _, s := range slices.Concat(linesOf(p.defaults, "default-server"), linesOf(p.body, "default-server")) {
			defaults = append(defaults, options(s, 1, false)...)
		}
	}
	names := map[string]bool{}
	for _, s := range servers {
		if len(targets) >= maxServers || m.servers >= maxAllServers {
			m.lost(s.line, directive(s), "a service has at most %d servers, and an import %d", maxServers, maxAllServers)
			continue
		}
		m.servers++
		t, ok := m.readServer(s, defaults, tail)
		if ok && names[t.server.Name] {
			m.lost(s.line, directive(s), "the backend has a server of that name already")
			continue
		}
		if ok {
			names[t.server.Name] = true
			targets = append(targets, t)
		}
	}
	return targets
}

// serverWords imports the options that all servers have and that have no field of their own.
func (m *mapping) serverWords(s *api.Service, targets []target) {
	first := targets[0]
	s.SendProxyProtocol = api.ProxyNone
	switch {
	case first.has("send-proxy"):
		s.SendProxyProtocol = api.ProxyV1
	case first.has("send-proxy-v2"):
		s.SendProxyProtocol = api.ProxyV2
	}
	everywhere := func(word string) bool {
		return !slices.ContainsFunc(targets, func(t target) bool { return !slices.Contains(t.extra, word) })
	}
	var words []string
	for _, word := range first.extra {
		if everywhere(word) {
			words = append(words, word)
		}
	}
	for _, t := range targets {
		for _, word := range t.extra {
			if !slices.Contains(words, word) {
				name, _, _ := strings.Cut(word, " ")
				m.lost(t.line, directive(t.statement)+" "+name, "extraServer holds for all servers of a service, and not all have it")
			}
		}
		if t.has("send-proxy") != first.has("send-proxy") || t.has("send-proxy-v2") != first.has("send-proxy-v2") {
			m.lost(t.line, directive(t.statement), "sendProxyProtocol holds for all servers of a service: %s", s.SendProxyProtocol)
		}
	}
	if s.ExtraServer = strings.Join(words, " "); !isRawLine(s.ExtraServer) || len(s.ExtraServer) > 1024 {
		m.lost(first.line, directive(first.statement), "its other words hold control characters, are not UTF-8, or have more than 1024 characters")
		s.ExtraServer = ""
	}
}
