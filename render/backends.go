package render

import (
	"slices"
	"strconv"
	"strings"

	"rlb.dev/rlb-agent/api"
)

// FailOpenBackend is the name of a service's second backend, which gets the connections while no server of the first
// one is usable. Its servers are those of the first, without health checks. The colon keeps it apart from every service's.
func FailOpenBackend(service string) string { return service + ":failopen" }

// failsOpen says whether a service has that backend.
func failsOpen(s *api.Service) bool { return *s.FailOpen && s.HealthCheck.Type != api.CheckNone }

// backend renders the servers of a service. The user's own lines stand behind the settings that they may replace, and
// before the rules and servers that they are to take effect on.
func (r *renderer) backend(l *lines, s service) {
	h := &s.HealthCheck
	b := r.newBackend(s, false)
	r.backendHead(l, s, b.Name, "option redispatch")
	if h.Type.HTTP() {
		l.add(s.path+".healthCheck.path", "    option httpchk %s", r.request(h))
	}
	if h.Timeout != nil && h.Type != api.CheckNone {
		l.add(s.path+".healthCheck.timeout", "    timeout check %s", millis(h.Timeout))
	}
	l.raw(s.path+".extraBackend", s.ExtraBackend)
	if h.Type.HTTP() {
		if r.facts.HAProxyVersion.atLeast(gates.haproxyCheckSend) {
			r.send(l, s)
		}
		l.add(s.path+".healthCheck.expectStatus", "    http-check expect %s", r.expect(h))
	}
	r.servers(l, s, b)
	if failsOpen(s.Service) {
		r.failOpen(l, s)
	}
}

// newBackend begins a backend of a service.
func (r *renderer) newBackend(s service, failOpen bool) *Backend {
	b := Backend{Name: s.Name, Service: s.Name, Field: s.path, FailOpen: failOpen, Balance: s.Balance, Raw: s.ExtraBackend}
	if failOpen {
		b.Name = FailOpenBackend(s.Name)
	}
	r.model.Backends = append(r.model.Backends, b)
	return &r.model.Backends[len(r.model.Backends)-1]
}

// servers renders the servers of a backend.
func (r *renderer) servers(l *lines, s service, b *Backend) {
	b.Servers = make([]Server, len(s.Servers))
	in := serverLines{renderer: r, in: &s, checked: !b.FailOpen, sorted: Server{Weight: 1}}
	for i := range s.Servers {
		server := &b.Servers[i]
		in.server(server, &s.Servers[i])
		l.server(s.path, i, server.Line)
	}
}

// backendHead renders what both backends of a service have in common.
func (r *renderer) backendHead(l *lines, s service, name, redispatch string) {
	l.section(2, s.path, "backend %s", name)
	l.add(s.path+".balance", "    balance %s", s.Balance)
	l.add("", "    %s", redispatch)
	l.timeout(s.path+".timeouts.connect", "connect", s.Timeouts.Connect)
	l.timeout(s.path+".timeouts.server", "server ", s.Timeouts.Server)
	l.timeout(s.path+".timeouts.tunnel", "tunnel ", s.Timeouts.Tunnel)
}

// failOpen renders the second backend. Nothing tells there which servers answer, so each retry goes to another one, and
// backup servers take part. One with weight 0 gets no connections there either.
func (r *renderer) failOpen(l *lines, s service) {
	b := r.newBackend(s, true)
	r.backendHead(l, s, b.Name, "option redispatch 1")
	for i, line := range s.ExtraBackend {
		if !ofChecks(line) {
			l.rawLine(s.path+".extraBackend", s.ExtraBackend, i)
		}
	}
	r.servers(l, s, b)
}

// ofChecks says whether a raw line of a backend is about health checks.
func ofChecks(line string) bool {
	words := append(strings.Fields(line), "", "")
	switch words[0] {
	case "http-check", "tcp-check", "external-check":
		return true
	case "option":
		return strings.HasSuffix(words[1], "chk") || strings.HasSuffix(words[1], "-check")
	case "timeout":
		return words[1] == "check"
	}
	return false
}

// request is the request of a health check (HAProxy configuration manual §4.2, option httpchk). A host goes with
// HTTP/1.1, which knows the header; before 2.2 only the end of the version can hold one.
func (r *renderer) request(h *api.HealthCheck) string {
	request := h.Method + " " + h.Path
	switch {
	case h.Host == "":
		return request
	case r.facts.HAProxyVersion.atLeast(gates.haproxyCheckSend):
		return request + " HTTP/1.1"
	}
	return request + ` HTTP/1.1\r\nHost:\ ` + h.Host + `\r\nConnection:\ close`
}

// send renders the step that sends the request, where there is something to say about it: HAProxy merges it with that of
// option httpchk, and so sends it behind a raw connect, where HAProxy wants it.
func (r *renderer) send(l *lines, s service) {
	switch {
	case s.HealthCheck.Host != "":
		l.add(s.path+".healthCheck.host", "    http-check send hdr Host %s", s.HealthCheck.Host)
	case EndsWithConnect(s.ExtraBackend):
		l.add(s.path+".healthCheck.path", "    http-check send")
	}
}

// EndsWithConnect says whether the last step of an HTTP check in lines of a backend connects: a request must follow.
func EndsWithConnect(lines []string) (connects bool) {
	for _, line := range lines {
		if words := strings.Fields(line); len(words) > 1 && words[0] == "http-check" && slices.Contains([]string{"connect", "send", "expect"}, words[1]) {
			connects = words[1] == "connect"
		}
	}
	return connects
}

// expect is the condition on a health check's answer. With cutAfter another status takes the server out of the rotation
// and leaves its connections: HAProxy calls the check conditionally passed, and the server NOLB.
func (r *renderer) expect(h *api.HealthCheck) string {
	var codes []string
	for _, status := range h.ExpectStatus {
		codes = append(codes, strconv.Itoa(status))
	}
	condition := "rstatus ^(" + strings.Join(codes, "|") + ")$"
	if len(codes) == 1 || r.facts.HAProxyVersion.atLeast(gates.haproxyStatusList) {
		condition = "status " + strings.Join(codes, ",")
	}
	if *h.CutAfter > 0 && r.facts.HAProxyVersion.KeepsOnWrongStatus() {
		condition = "error-status L7OKC " + condition
	}
	return condition
}

// hasDefaultServer says whether raw lines give servers defaults, health checks perhaps.
func (r *renderer) hasDefaultServer(s *service) bool {
	return slices.ContainsFunc(slices.Concat(r.spec.Proxy.ExtraDefaults, s.ExtraBackend), func(line string) bool {
		words := strings.Fields(line)
		return len(words) > 0 && words[0] == "default-server"
	})
}
