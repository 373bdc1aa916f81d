package render

import (
	"slices"
	"strconv"
	"strings"

	"rlb.dev/rlb-agent/api"
)

// FailOpenBackend returns the name of a service's second backend, which gets the connections while no server of the
// first backend is usable. It has the same servers without health checks. No service has a colon in its name.
func FailOpenBackend(service string) string { return service + ":failopen" }

// failsOpen reports whether a service has a second backend.
func failsOpen(s *api.Service) bool { return *s.FailOpen && s.HealthCheck.Type != api.CheckNone }

// backend renders the backend of a service. The user's raw lines follow the settings that they may override, and precede
// the checks and servers that they may affect.
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

// newBackend adds a backend of a service to the model.
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

// failOpen renders the second backend. It has no health checks that show which servers answer, so each retry goes to
// another server, and backup servers are normal servers. A server with weight 0 gets no connections there either.
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

// ofChecks reports whether a raw line of a backend configures health checks.
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

// request returns the request of a health check (HAProxy configuration manual §4.2, option httpchk). A Host header needs
// HTTP/1.1. Before HAProxy 2.2 the header can only be appended to the HTTP version.
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

// send renders a step that sends the request if there is a Host header, or if raw lines end with a connect step. HAProxy
// merges the step with the request of option httpchk. After a connect step HAProxy requires it.
func (r *renderer) send(l *lines, s service) {
	switch {
	case s.HealthCheck.Host != "":
		l.add(s.path+".healthCheck.host", "    http-check send hdr Host %s", s.HealthCheck.Host)
	case EndsWithConnect(s.ExtraBackend):
		l.add(s.path+".healthCheck.path", "    http-check send")
	}
}

// EndsWithConnect reports whether the last step of an HTTP check in lines of a backend is connect. A send step must then
// follow.
func EndsWithConnect(lines []string) (connects bool) {
	for _, line := range lines {
		if words := strings.Fields(line); len(words) > 1 && words[0] == "http-check" && slices.Contains([]string{"connect", "send", "expect"}, words[1]) {
			connects = words[1] == "connect"
		}
	}
	return connects
}

// expect returns the condition on a health check's answer. With cutAfter any other status takes the server out of the
// rotation and keeps its connections: HAProxy then reports the check as conditionally passed, and the server as NOLB.
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

// hasDefaultServer reports whether raw lines set defaults for servers, which may include health checks.
func (r *renderer) hasDefaultServer(s *service) bool {
	return slices.ContainsFunc(slices.Concat(r.spec.Proxy.ExtraDefaults, s.ExtraBackend), func(line string) bool {
		words := strings.Fields(line)
		return len(words) > 0 && words[0] == "default-server"
	})
}
