package render

import (
	"math"
	"net/netip"

	"rlb.dev/rlb-agent/api"
)

// Sockets and directories that Debian's haproxy package provides.
const (
	StatsSocket = "/run/haproxy/admin.sock"
	chroot      = "/var/lib/haproxy"
)

// ClassicTLS are the TLS lines in the original's global section. No generated line terminates TLS.
var ClassicTLS = []string{
	"ca-base /etc/ssl/certs",
	"crt-base /etc/ssl/private",
	"ssl-default-bind-ciphers ECDH+AESGCM:DH+AESGCM:ECDH+AES256:DH+AES256:ECDH+AES128:DH+AES:RSA+AESGCM:RSA+AES:!aNULL:!MD5:!DSS",
	"ssl-default-bind-options no-sslv3",
}

// haproxy renders haproxy.cfg (HAProxy configuration manual).
func (r *renderer) haproxy() File {
	l := newLines()
	servers := 0
	for i := range r.spec.Services {
		servers += len(r.spec.Services[i].Servers)
	}
	l.grow(servers)
	r.haproxyGlobal(l)
	r.haproxyDefaults(l)
	if r.ownResolvers() {
		r.resolversSection(l)
	}
	for _, f := range r.frontends() {
		r.frontend(l, f)
		for _, s := range f.services {
			r.backend(l, s)
		}
	}
	if r.tracksFiles() {
		r.health(l)
	}
	if r.spec.Proxy.Stats.Address != "" {
		r.stats(l)
	}
	file := l.file(r.facts.HAProxyConfig, HAProxyConfig)
	file.spec = r.spec
	return file
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
		for _, line := range ClassicTLS {
			l.add("", "    %s", line)
		}
	}
	// Without maxconn HAProxy derives its size from the limit of open files, which can use all memory of a small machine.
	if p.MaxConnections != nil {
		l.add("proxy.maxConnections", "    maxconn %d", *p.MaxConnections)
	}
	if p.HardStopAfter != nil {
		l.add("proxy.hardStopAfter", "    hard-stop-after %s", millis(p.HardStopAfter))
	}
	if r.facts.HAProxyVersion.atLeast(gates.haproxyFewReloads) {
		// By default HAProxy ends an old process with its connections after 50 reloads. Only hard-stop-after may do so.
		l.add("", "    mworker-max-reloads %d", math.MaxInt32)
	}
	if r.hasNames() {
		// DNS that does not answer must not delay a start: with the C library's default timeouts each name takes most of a
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
		// TCP keep-alive detects a client or server that vanished, however long the tunnel timeout is: after a minute and a
		// half, for which the kernel alone takes two hours (tcp(7)).
		for _, side := range []string{"cli", "srv"} {
			l.add("", "    option %stcpka", side)
			if r.facts.HAProxyVersion.atLeast(gates.haproxyKeepAlive) {
				l.add("", "    %stcpka-idle 60s", side)
				l.add("", "    %stcpka-intvl 10s", side)
				l.add("", "    %stcpka-cnt 3", side)
			}
		}
	}
	l.add("proxy.retries", "    retries %d", *p.Retries)
	l.timeout("proxy.timeouts.connect", "connect", p.Timeouts.Connect)
	l.timeout("proxy.timeouts.client", "client ", p.Timeouts.Client)
	l.timeout("proxy.timeouts.server", "server ", p.Timeouts.Server)
	l.timeout("proxy.timeouts.tunnel", "tunnel ", p.Timeouts.Tunnel)
	if classic {
		for _, status := range []int{400, 403, 408, 500, 502, 503, 504} {
			l.add("", "    errorfile %d /etc/haproxy/errors/%d.http", status, status)
		}
	} else {
		// Otherwise half-closed connections would stay for the tunnel timeout, and use up maxconn.
		l.add("", "    timeout client-fin 10000ms")
		l.add("", "    timeout server-fin 10000ms")
	}
	l.raw("proxy.extraDefaults", p.ExtraDefaults)
}

// StatsFrontend is the name of the frontend of HAProxy's own page and exporter. No service has a colon in its name.
const StatsFrontend = "rlb:stats"

// stats renders HAProxy's own page and exporter.
func (r *renderer) stats(l *lines) {
	const origin = "proxy.stats.address"
	l.section(2, origin, "frontend %s", StatsFrontend)
	l.add(origin, "    mode http")
	bind := r.spec.Proxy.Stats.Address
	if at, err := netip.ParseAddrPort(bind); err == nil && !at.Addr().IsUnspecified() {
		bind += unheld(at.Addr())
	}
	l.add(origin, "    bind %s", bind)
	if r.facts.HAProxyVersion.atLeast(gates.haproxyExporter) {
		l.add(origin, "    http-request use-service prometheus-exporter if { path /metrics }")
	}
	l.add(origin, "    stats enable")
	l.add(origin, "    stats hide-version")
	l.add(origin, "    stats uri /")
	l.add(origin, "    stats refresh 10s")
}
