package specgen

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

func (g *generator) spec() fields {
	g.listening = map[int][]string{}
	f := fields{"apiVersion": "rlb.dev/v1", "kind": "LoadBalancerSpec"}
	g.maybe(f, "profile", func() any {
		profile := oneOf(g, "standard", "classic")
		g.classic = profile == "classic"
		return profile
	})
	g.families = oneOf(g, "4", "4", "6", "46", "64")
	f["virtualIPs"] = g.virtualIPs()
	g.maybe(f, "nodes", g.nodes)
	g.maybe(f, "vrrp", g.vrrp)
	if nodes, ok := f["nodes"].([]fields); ok && len(nodes) > 1 && g.IntN(2) == 0 {
		vrrp, _ := f["vrrp"].(fields)
		if vrrp == nil {
			vrrp = fields{}
			f["vrrp"] = vrrp
		}
		vrrp["transport"] = "unicast"
	}
	f["services"] = g.services()
	g.maybe(f, "proxy", g.proxy)
	g.maybe(f, "metadata", g.metadata)
	g.maybe(f, "packages", g.packages)
	g.maybe(f, "firewall", func() any {
		firewall := fields{}
		g.maybe(firewall, "manage", g.yes)
		g.maybe(firewall, "allowFrom", g.allowFrom(0))
		return firewall
	})
	g.maybe(f, "reconcile", func() any {
		reconcile := fields{}
		g.maybe(reconcile, "interval", g.durations(1, 24*60*60, time.Second))
		g.maybe(reconcile, "drift", g.text("repair", "report"))
		return reconcile
	})
	g.maybe(f, "metrics", func() any {
		metrics := fields{}
		g.maybe(metrics, "address", func() any { return g.ownAddress(false) })
		g.maybe(metrics, "textfile", g.text("/var/lib/prometheus/node-exporter/rlb.prom", "/a/b.prom"))
		return metrics
	})
	g.maybe(f, "web", func() any {
		web := fields{}
		g.maybe(web, "address", func() any {
			if g.yes().(bool) {
				return "unix:/run/rlb/web.sock"
			}
			return g.ownAddress(true)
		})
		return web
	})
	return f
}

func (g *generator) metadata() any {
	f := fields{}
	g.maybe(f, "name", func() any { return g.name(253) })
	entries := func(values ...string) func() any {
		return func() any {
			all := fields{}
			for i := range g.IntN(3) {
				all[fmt.Sprintf(oneOf(g, "k%d", "example.org/K.%d", "a-b/%d_x"), i)] = oneOf(g, values...)
			}
			return all
		}
	}
	g.maybe(f, "labels", entries("", "home", "a.b-c_D", strings.Repeat("x", 63)))
	g.maybe(f, "annotations", entries("", "changed by hand:\n\t\"on Monday\" # true", "ä {} \\"))
	return f
}

func (g *generator) packages() any {
	f := fields{}
	g.maybe(f, "manage", g.yes)
	g.maybe(f, "hold", g.yes)
	for _, name := range []string{"haproxy", "keepalived"} {
		g.maybe(f, name, func() any {
			version := fields{}
			g.maybe(version, "version", g.text("*", "2.6.*", "2.6.12-1+deb12u4", "1:2.2.7-1+b2", "1:2*", "?:2.?~rc1", "0"))
			return version
		})
	}
	return f
}

// command returns a path, or a list of it and its arguments.
func (g *generator) command() any {
	path := oneOf(g, Programs...)
	if g.IntN(2) == 0 {
		return path
	}
	words := []string{path}
	for range g.number(0, 19) {
		words = append(words, g.word(alphanumeric+"/._+@:,=%-", alphanumeric+"/._+@:,=%-", 1, 12))
	}
	return words
}

// lines returns raw lines, each at most once, as a block or as a list.
func (g *generator) lines(lines ...string) any {
	var all []string
	for _, at := range g.Perm(len(lines))[:g.IntN(min(3, len(lines))+1)] {
		all = append(all, strings.Split(lines[at], "\n")...)
	}
	if g.IntN(2) == 0 {
		return strings.Join(all, "\n") + oneOf(g, "", "\n")
	}
	return all
}

// allowFrom returns at least this many CIDRs.
func (g *generator) allowFrom(least int) func() any {
	return func() any {
		n := least + g.IntN(4)
		if g.rarely(100) {
			n = 1000
		}
		all := []string{}
		for i := range n {
			four := fmt.Sprintf("%d.%d.%d.%d/%d", 1+g.IntN(223), g.IntN(256), i/256, i%256, g.prefix(0, 32))
			six := fmt.Sprintf("2001:db8:%x::%x/%d", i, g.IntN(65536), g.prefix(0, 128))
			all = append(all, oneOf(g, four, four, six, six, "0.0.0.0/0", "::/0", "192.168.3.0/24", "2001:DB8::/32"))
		}
		return all
	}
}

// free takes an address and port, and reports whether it was free.
func (g *generator) free(address string, port int) bool {
	taken := g.listening[port]
	if slices.Contains(taken, "*") || slices.Contains(taken, strings.ToLower(address)) || address == "*" && len(taken) > 0 {
		return false
	}
	g.listening[port] = append(taken, strings.ToLower(address))
	return true
}

// ownAddress returns an unused address and port for the stats page, the metrics or the status page.
func (g *generator) ownAddress(loopback bool) string {
	for {
		port := oneOf(g, 1, 80, 8404, 9345, 65535, 9000)
		address := oneOf(g, "127.0.0.1", "::1", "127.7.7.7")
		if !loopback {
			address = oneOf(g, "127.0.0.1", "::1", "0.0.0.0", "::", "192.168.3.241", "2001:db8:3::241")
		}
		key := address
		if address == "0.0.0.0" || address == "::" {
			key = "*"
		}
		if g.free(key, port) {
			if strings.Contains(address, ":") {
				address = "[" + address + "]"
			}
			return fmt.Sprintf("%s:%d", address, port)
		}
	}
}

// bind returns "*", an address or a list of addresses.
func (g *generator) bind() any {
	addresses := []string{"192.168.3.241", "127.0.0.1", "2001:db8:3::241", "::1", "2001:DB8:3::0:242"}
	for _, vip := range g.vips {
		if !strings.HasPrefix(vip, "fe80") {
			addresses = append(addresses, vip)
		}
	}
	if g.rarely(10) {
		for i := range 44 - len(addresses) {
			addresses = append(addresses, fmt.Sprintf("10.9.8.%d", i+1))
		}
	}
	switch g.IntN(4) {
	case 0:
		return "*"
	case 1:
		return oneOf(g, addresses...)
	case 2:
		return []string{oneOf(g, append(addresses, "*")...)}
	}
	g.Shuffle(len(addresses), func(i, j int) { addresses[i], addresses[j] = addresses[j], addresses[i] })
	return addresses[:g.number(1, len(addresses))]
}

// binds returns the addresses of a bind, or of none.
func binds(bind any) []string {
	switch b := bind.(type) {
	case string:
		return []string{b}
	case []string:
		return b
	}
	return []string{"*"}
}
