package render

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"rlb.dev/rlb-agent/api"
)

// Sockets and directories that Debian's haproxy package provides.
const (
	StatsSocket = "/run/haproxy/admin.sock"
	chroot      = "/var/lib/haproxy"
)

// haproxy renders haproxy.cfg (HAProxy configuration manual).
func (r *renderer) haproxy() File {
	l := newLines()
	r.haproxyGlobal(l)
	r.haproxyDefaults(l)
	if r.ownResolvers() {
		r.resolversSection(l)
	}
	for i := range r.spec.Services {
		origin := fmt.Sprintf("services[%d]", i)
		r.frontend(l, &r.spec.Services[i], origin)
		r.backend(l, &r.spec.Services[i], origin)
	}
	if r.tracksFiles() {
		r.health(l)
	}
	if r.spec.Proxy.Stats.Address != "" {
		r.stats(l)
	}
	return l.file(r.facts.HAProxyConfig, HAProxyConfig)
}

func (r *renderer) haproxyGlobal(l *lines) {
	p := r.spec.Proxy
	l.add("", "global")
	l.add("", "    log /dev/log    local0")
	l.add("", "    log /dev/log    local1 notice")
	l.add("", "    chroot %s", chroot)
	l.add("", "    stats socket %s mode 660 level admin expose-fd listeners", StatsSocket)
	l.add("", "    stats timeout 30s")
	l.add("", "    user haproxy")
	l.add("", "    group haproxy")
	if r.spec.Profile == api.Classic {
		l.add("", "    daemon")
		l.add("", "    ca-base /etc/ssl/certs")
		l.add("", "    crt-base /etc/ssl/private")
		l.add("", "    ssl-default-bind-ciphers ECDH+AESGCM:DH+AESGCM:ECDH+AES256:DH+AES256:ECDH+AES128:DH+AES:RSA+AESGCM:RSA+AES:!aNULL:!MD5:!DSS")
		l.add("", "    ssl-default-bind-options no-sslv3")
	}
	// Without maxconn HAProxy sizes itself by the limit of open files, which can take all memory of a small machine.
	if p.MaxConnections != nil {
		l.add("proxy.maxConnections", "    maxconn %d", *p.MaxConnections)
	}
	if p.HardStopAfter != nil {
		l.add("proxy.hardStopAfter", "    hard-stop-after %s", millis(p.HardStopAfter))
	}
	if r.facts.HAProxyVersion.atLeast(gates.haproxyFewReloads) {
		// Else HAProxy ends an old process with all of its connections after 50 reloads; hard-stop-after is its only end.
		l.add("", "    mworker-max-reloads %d", math.MaxInt32)
	}
	if r.hasNames() {
		// Dead DNS must not hold up a start: with the C library's own patience each name takes the better part of a
		// minute, and systemd gives up after 90 s (resolv.conf(5), RES_OPTIONS).
		l.add("", `    setenv RES_OPTIONS "timeout:1 attempts:1"`)
	}
	l.raw("proxy.extraGlobal", p.ExtraGlobal)
}

func (r *renderer) haproxyDefaults(l *lines) {
	p := r.spec.Proxy
	classic := r.spec.Profile == api.Classic
	l.section(2, "", "defaults")
	l.add("", "    log global")
	l.add("", "    mode tcp")
	if classic {
		l.add("", "    option tcp-check")
	}
	l.add("", "    option tcplog")
	l.add("", "    option  dontlognull")
	if !classic {
		// Peers that are gone without a word are noticed, however long the tunnel timeout is.
		l.add("", "    option clitcpka")
		l.add("", "    option srvtcpka")
	}
	l.add("proxy.retries", "    retries %d", *p.Retries)
	l.add("proxy.timeouts.connect", "    timeout connect %s", millis(p.Timeouts.Connect))
	l.add("proxy.timeouts.client", "    timeout client  %s", millis(p.Timeouts.Client))
	l.add("proxy.timeouts.server", "    timeout server  %s", millis(p.Timeouts.Server))
	if p.Timeouts.Tunnel != nil {
		l.add("proxy.timeouts.tunnel", "    timeout tunnel  %s", millis(p.Timeouts.Tunnel))
	}
	if classic {
		for _, status := range []int{400, 403, 408, 500, 502, 503, 504} {
			l.add("", "    errorfile %d /etc/haproxy/errors/%d.http", status, status)
		}
	} else {
		// Half-closed connections would else stay as long as the tunnel timeout, and fill maxconn.
		l.add("", "    timeout client-fin 10000ms")
		l.add("", "    timeout server-fin 10000ms")
	}
	l.raw("proxy.extraDefaults", p.ExtraDefaults)
}

func (r *renderer) frontend(l *lines, s *api.Service, origin string) {
	l.section(2, origin, "frontend %s", r.frontendName(s))
	for _, bind := range r.binds(s) {
		l.add(origin+".bind", "    bind %s", bind)
	}
	l.add(origin, "    default_backend %s", s.Name)
	l.raw(origin+".extraFrontend", s.ExtraFrontend)
}

// frontendName is the name of a service's frontend: that of its backend where HAProxy bears it, so that older versions
// and the original's files stay as they are. The colon keeps it apart from every service's.
func (r *renderer) frontendName(s *api.Service) string {
	if r.facts.HAProxyVersion.atLeast(gates.haproxyOwnNames) {
		return s.Name + ":in"
	}
	return s.Name
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
			if family == IPv4 {
				binds = append(binds, fmt.Sprintf("*:%d", *s.Port))
			} else {
				binds = append(binds, fmt.Sprintf(":::%d v6only", *s.Port))
			}
		}
	}
	return binds
}

func bindTo(addr netip.Addr, port int) string {
	bind := netip.AddrPortFrom(addr, uint16(port)).String()
	if !addr.IsLoopback() {
		// A virtual IP is not on the standby, a node's address not on its peer, and at boot perhaps neither: HAProxy
		// must start all the same, and serve when the address comes.
		bind += " transparent"
	}
	return bind
}

func (r *renderer) backend(l *lines, s *api.Service, origin string) {
	h := s.HealthCheck
	l.section(2, origin, "backend %s", s.Name)
	l.add(origin+".balance", "    balance %s", s.Balance)
	l.add("", "    option redispatch")
	if h.Type == api.CheckHTTP || h.Type == api.CheckHTTPS {
		l.add(origin+".healthCheck.path", "    option httpchk GET %s", h.Path)
		l.add(origin+".healthCheck.expectStatus", "    http-check expect %s", r.expect(h.ExpectStatus))
	}
	if h.Timeout != nil && h.Type != api.CheckNone {
		l.add(origin+".healthCheck.timeout", "    timeout check %s", millis(h.Timeout))
	}
	for i := range s.Servers {
		l.add(fmt.Sprintf("%s.servers[%d]", origin, i), "    server %s", r.server(&s.Servers[i], &h))
	}
	l.raw(origin+".extraBackend", s.ExtraBackend)
}

// expect is the condition on the status of a health check's answer.
func (r *renderer) expect(statuses []int) string {
	var codes []string
	for _, status := range statuses {
		codes = append(codes, strconv.Itoa(status))
	}
	if len(codes) == 1 || r.facts.HAProxyVersion.atLeast(gates.haproxyStatusList) {
		return "status " + strings.Join(codes, ",")
	}
	return "rstatus ^(" + strings.Join(codes, "|") + ")$"
}

// server is the arguments of a server line (HAProxy configuration manual §5.2).
func (r *renderer) server(s *api.Server, h *api.HealthCheck) string {
	address := s.Address
	if addr, err := netip.ParseAddr(s.Address); err == nil && addr.Is6() {
		address = "[" + addr.String() + "]"
	}
	words := []string{fmt.Sprintf("%s %s:%d", s.Name, address, *s.Port)}
	add := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	if h.Type != api.CheckNone {
		add("check")
		if h.Type == api.CheckHTTPS && h.CAFile != "" {
			add("check-ssl verify required ca-file %s", h.CAFile)
		} else if h.Type == api.CheckHTTPS {
			add("check-ssl verify none")
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
	}
	if s.Weight != nil {
		add("weight %d", *s.Weight)
	}
	if s.MaxConnections != nil {
		add("maxconn %d", *s.MaxConnections)
	}
	if s.Backup {
		add("backup")
	}
	if isName(s.Address) {
		words = append(words, r.resolving())
	}
	return strings.Join(words, " ")
}

// repeat is the pause after a check by which a server may be about to change its state. HAProxy begins to count when a
// check has ended, so that with the interval alone three checks that hang take 10 to 12 s with the defaults; so they
// take 6 to 8.
func repeat(h *api.HealthCheck) time.Duration {
	return max(h.Interval.D()-h.Timeout.D(), h.Interval.D()/80, time.Millisecond)
}

// stats renders HAProxy's own page and exporter. The colon keeps the name apart from every service's.
func (r *renderer) stats(l *lines) {
	const origin = "proxy.stats.address"
	l.section(2, origin, "frontend rlb:stats")
	l.add(origin, "    mode http")
	l.add(origin, "    bind %s", r.spec.Proxy.Stats.Address)
	if r.facts.HAProxyVersion.atLeast(gates.haproxyExporter) {
		l.add(origin, "    http-request use-service prometheus-exporter if { path /metrics }")
	}
	l.add(origin, "    stats enable")
	l.add(origin, "    stats uri /")
	l.add(origin, "    stats refresh 10s")
}
