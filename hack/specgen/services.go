package specgen

import (
	"fmt"
	"strings"
	"time"
)

// services makes some services, at times as many as an ordinary file may have. Some share the address and port of
// the previous one, with TLS server names to tell them apart.
func (g *generator) services() (all []fields) {
	count := 1 + g.IntN(4)
	if g.rarely(50) {
		count = 60
	}
	rest := false // whether a service without names has this address and port already
	for i, name := range g.names(count, 128) {
		service := fields{"name": name, "port": g.number(1, 65535)}
		if i > 0 && g.IntN(3) == 0 {
			g.shareFrontend(service, all[len(all)-1], i)
			if service["sni"] == nil && rest {
				service["sni"] = g.serverNames(i)
			}
			rest = rest || service["sni"] == nil
		} else {
			g.maybe(service, "bind", g.bind)
			for !g.take(service) {
				service["port"] = g.number(1, 65535)
			}
			g.maybe(service, "allowFrom", g.allowFrom(1))
			g.maybe(service, "acceptProxyProtocol", g.yes)
			g.maybe(service, "sni", func() any { return g.serverNames(i) })
			g.maybe(service, "timeouts", g.timeouts)
			rest = service["sni"] == nil
		}
		g.maybe(service, "sendProxyProtocol", g.text("none", "v1", "v2"))
		g.maybe(service, "balance", g.text("roundrobin", "leastconn", "source", "static-rr", "first"))
		service["servers"] = g.servers(service["port"].(int))
		kind := "default"
		g.maybe(service, "healthCheck", func() any {
			check := g.healthCheck(service["servers"].([]fields))
			kind, _ = check["type"].(string)
			return check
		})
		g.maybe(service, "failOpen", func() any { return kind != "none" && g.yes().(bool) })
		g.maybe(service, "extraFrontend", func() any {
			return g.lines("option dontlog-normal", "option tcp-smart-accept", "# why", "", "tcp-request connection reject if { src 192.0.2.1 }", "maxconn 1000")
		})
		g.maybe(service, "extraBackend", func() any {
			return g.lines("stick-table type ip size 200k expire 30m\nstick on src", "option tcp-smart-connect", "# why", "timeout queue 5s", "default-server slowstart 10s",
				"timeout server-fin 3s", "fullconn 100", "hash-type consistent")
		})
		g.maybe(service, "extraServer", g.text("slowstart 30s", "slowstart 5m maxqueue 10", "source 0.0.0.0", "fastinter 500ms on-error fastinter", "minconn 1 maxconn 10", "  error-limit 5  ", ""))
		all = append(all, service)
	}
	return all
}

// take takes all addresses of a service, or none.
func (g *generator) take(service fields) bool {
	port := service["port"].(int)
	before := g.listening[port]
	for _, address := range binds(service["bind"]) {
		if !g.free(address, port) {
			g.listening[port] = before
			return false
		}
	}
	return true
}

// shareFrontend gives a service the address and port of another one.
func (g *generator) shareFrontend(service, other fields, i int) {
	for _, name := range []string{"port", "bind", "allowFrom", "acceptProxyProtocol"} {
		if value, given := other[name]; given {
			service[name] = value
		}
	}
	timeouts := g.timeouts().(fields)
	delete(timeouts, "client")
	if theirs, given := other["timeouts"].(fields); given && theirs["client"] != nil {
		timeouts["client"] = theirs["client"]
	}
	if len(timeouts) > 0 {
		service["timeouts"] = timeouts
	}
	if other["sni"] == nil || g.IntN(2) == 0 {
		service["sni"] = g.serverNames(i)
	}
}

// serverNames makes the names of the i-th service. No other service has one of them.
func (g *generator) serverNames(i int) []string {
	n := 1 + g.IntN(4)
	if g.rarely(30) {
		n = 100
	}
	var all []string
	for j := range n {
		name := fmt.Sprintf("s%d-%d.%s", i, j, g.dnsName())
		if len(name) > 253 {
			name = name[:200] + fmt.Sprintf(".s%d-%d.x", i, j)
		}
		all = append(all, oneOf(g, "", "", "*.")+name)
	}
	return all
}

func (g *generator) servers(port int) (all []fields) {
	count := 1 + g.IntN(4)
	if g.rarely(100) {
		count = 300
	}
	names := g.names(count, 128)
	for i := range count {
		server := fields{"address": oneOf(g, fmt.Sprintf("192.168.3.%d", 20+i%8), fmt.Sprintf("2001:db8:3::%x", 20+i%8), fmt.Sprintf("2001:DB8:3:0::192.168.3.%d", 20+i%8),
			oneOf(g, Names...), fmt.Sprintf("10.%d.%d.1", i/256, i%256))}
		g.maybe(server, "port", func() any { return oneOf(g, 6443, 16443, 80, g.number(1, 65535)) })
		if own, given := server["port"]; given && own != port && g.rarely(10) {
			server["address"] = oneOf(g, "localhost", "127.0.0.1", "::1", "192.168.3.241")
		}
		// Default names have the form server1, server2: some of our names have it too.
		if strings.HasPrefix(names[i], "server") || g.IntN(3) == 0 {
			server["name"] = strings.TrimPrefix(names[i], "server") + "x"
		}
		if name, given := server["name"].(string); given && len(name) > 128 {
			server["name"] = name[len(name)-128:]
			if strings.ContainsAny(name[len(name)-128:][:1], "._-") {
				server["name"] = fmt.Sprintf("long%d", i)
			}
		}
		g.maybe(server, "weight", g.between(0, 256))
		g.maybe(server, "maxConnections", g.between(1, 1000000))
		g.maybe(server, "backup", g.yes)
		all = append(all, server)
	}
	seen := map[any]bool{}
	for i, server := range all {
		if name := server["name"]; name != nil && seen[name] {
			server["name"] = fmt.Sprintf("again%d", i)
		}
		seen[server["name"]] = true
	}
	return all
}

// healthCheck makes a check with a type, or without one if none of its fields depends on the type.
func (g *generator) healthCheck(servers []fields) fields {
	f := fields{}
	kind := oneOf(g, "", "tcp", "http", "https", "none")
	if kind != "" {
		f["type"] = kind
	}
	g.maybe(f, "interval", g.time)
	g.maybe(f, "timeout", g.time)
	g.maybe(f, "rise", g.between(1, 1000))
	g.maybe(f, "fall", g.between(1, 1000))
	if kind == "none" {
		return f
	}
	g.maybe(f, "port", g.between(1, 65535))
	if kind == "tcp" || kind == "" {
		g.maybe(f, "cutAfter", g.text("0s", "0"))
		return f
	}
	g.maybe(f, "path", func() any {
		letters := alphanumeric + "/._~?=&%+,:@!*()-"
		return oneOf(g, "/", "/healthz?verbose=%20", "/livez", "/"+g.word(letters, letters, 1, 1023), "/%5Bsrc%5D%25")
	})
	g.maybe(f, "method", g.text("GET", "HEAD", "OPTIONS"))
	g.maybe(f, "host", func() any { return g.dnsName() })
	g.maybe(f, "expectStatus", func() any {
		all := g.Perm(500)[:g.number(1, 100)]
		for i := range all {
			all[i] += 100
		}
		return oneOf(g, []int{200}, []int{200, 401}, []int{599, 100}, all)
	})
	g.maybe(f, "cutAfter", func() any { return oneOf(g, "0s", "60s", g.duration(0, longest, time.Millisecond)) })
	if kind == "https" {
		g.maybe(f, "caFile", g.text(CAFiles...))
	}
	return f
}

func (g *generator) timeouts() any {
	timeouts := fields{}
	for _, name := range []string{"connect", "client", "server", "tunnel"} {
		g.maybe(timeouts, name, g.time)
	}
	return timeouts
}

func (g *generator) proxy() any {
	f := fields{}
	g.maybe(f, "maxConnections", g.between(1, 10_000_000))
	g.maybe(f, "retries", g.between(0, 100))
	g.maybe(f, "hardStopAfter", g.time)
	g.maybe(f, "stats", func() any {
		stats := fields{}
		g.maybe(stats, "address", func() any { return g.ownAddress(false) })
		return stats
	})
	g.maybe(f, "timeouts", g.timeouts)
	g.maybe(f, "extraGlobal", func() any {
		return g.lines("nbthread 2", "tune.ssl.default-dh-param 2048", "# why", "", "tune.bufsize 32768", "spread-checks 5", "server-state-base /var/lib/haproxy")
	})
	g.maybe(f, "extraDefaults", func() any {
		return g.lines("option dontlog-normal", "option splice-auto", "timeout queue 10s", "# why", "backlog 1000", "no option clitcpka")
	})
	return f
}
