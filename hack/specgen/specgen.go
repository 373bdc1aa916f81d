// Package specgen makes random specs that are valid, for tests that give them to the real programs. The same seed makes
// the same spec.
package specgen

import (
	"fmt"
	"math/rand/v2"

	"sigs.k8s.io/yaml"
)

// CAFile is the file that health checks name. It must be there with a certificate where the specs are checked.
const CAFile = "/etc/rlb/kubernetes-ca.crt"

// Interface is that of the virtual IPs, where a spec names one.
const Interface = "eth0"

// Text is the spec of a seed, in YAML.
func Text(seed uint64) string {
	g := generator{rand.New(rand.NewPCG(seed, 0))}
	text, err := yaml.Marshal(g.spec())
	if err != nil { // maps of plain values only
		panic(err)
	}
	return string(text)
}

// generator has a method for each part of the language. Each gives a value that is valid by itself and beside the others.
type generator struct{ *rand.Rand }

// fields is a mapping of the spec.
type fields map[string]any

// maybe gives a field in one of three specs.
func (g generator) maybe(f fields, name string, value func() any) {
	if g.IntN(3) == 0 {
		f[name] = value()
	}
}

func oneOf[T any](g generator, values ...T) T { return values[g.IntN(len(values))] }

func (g generator) between(least, most int) func() any {
	return func() any { return least + g.IntN(most-least+1) }
}

func (g generator) millis(least, most int) func() any {
	return func() any { return fmt.Sprintf("%dms", least+g.IntN(most-least+1)) }
}

func (g generator) yes() any { return g.IntN(2) == 0 }

func (g generator) spec() fields {
	f := fields{"apiVersion": "rlb.dev/v1", "kind": "LoadBalancerSpec"}
	g.maybe(f, "profile", func() any { return oneOf(g, "standard", "classic") })
	families := oneOf(g, "4", "4", "6", "46", "64")
	f["virtualIPs"] = g.virtualIPs(families)
	vrrp := g.vrrp(families)
	if nodes := g.nodes(); g.IntN(2) == 0 {
		f["nodes"] = nodes
		g.maybe(vrrp, "transport", func() any { return oneOf(g, "multicast", "unicast") })
	}
	f["vrrp"] = vrrp
	f["services"] = g.services(families)
	f["proxy"] = g.proxy()
	g.maybe(f, "metadata", func() any { return fields{"name": "lb.example"} })
	g.maybe(f, "firewall", g.firewall)
	return f
}

func (g generator) virtualIPs(families string) (all []string) {
	for _, family := range families {
		for i := range 1 + g.IntN(3) {
			address := fmt.Sprintf("192.168.3.%d", 100+10*g.IntN(10)+i)
			if family == '6' {
				address = fmt.Sprintf("2001:db8:3::%x", 0x100+16*g.IntN(10)+i)
			}
			if g.IntN(3) == 0 {
				address += map[rune]string{'4': "/24", '6': "/64"}[family]
			}
			all = append(all, address)
		}
	}
	return all
}

// nodes have addresses of both families, so that they fit every virtual IP.
func (g generator) nodes() (all []fields) {
	for i := range 2 + g.IntN(2) {
		node := fields{"name": fmt.Sprintf("lb%d", i+1), "addresses": []string{fmt.Sprintf("192.168.3.%d", 241+i), fmt.Sprintf("2001:db8:3::%x", 0x241+i)}}
		g.maybe(node, "priority", g.between(1, 254))
		all = append(all, node)
	}
	return all
}

func (g generator) vrrp(families string) fields {
	f := fields{"interface": Interface}
	g.maybe(f, "routerID", g.between(1, 255))
	g.maybe(f, "priority", g.between(1, 254))
	g.maybe(f, "preempt", g.yes)
	g.maybe(f, "instanceName", func() any { return oneOf(g, "VI_1", "a.b-c", "MASTER") })
	g.maybe(f, "check", func() any {
		check := fields{}
		g.maybe(check, "interval", func() any { return oneOf(g, "1s", "5s") })
		g.maybe(check, "rise", g.between(1, 1000))
		g.maybe(check, "fall", g.between(1, 1000))
		return check
	})
	switch g.IntN(3) {
	case 0: // version 3 alone has parts of a second
		f["version"], f["advertisementInterval"] = 3, fmt.Sprintf("%dms", 10*(1+g.IntN(4095)))
	case 1:
		f["advertisementInterval"] = oneOf(g, "1s", "3s")
	}
	return f
}

// serviceNames may be words of the programs' own, and names that the agent itself gives.
var serviceNames = []string{"kube-apiserver", "web", "rlb", "MASTER", "GLOBAL", "default", "check", "a.b_c-d", "9"}

func (g generator) services(families string) (all []fields) {
	for i, at := range g.Perm(len(serviceNames))[:1+g.IntN(4)] {
		service := fields{"name": serviceNames[at], "port": 9000 + i}
		binds := map[rune][]string{'4': {"*", "192.168.3.241", "127.0.0.1"}, '6': {"*", "2001:db8:3::241", "::1"}}
		g.maybe(service, "bind", func() any { return oneOf(g, binds[rune(families[0])]...) })
		g.maybe(service, "balance", func() any { return oneOf(g, "roundrobin", "leastconn", "source", "static-rr", "first") })
		service["servers"] = g.servers()
		g.maybe(service, "healthCheck", g.healthCheck)
		all = append(all, service)
	}
	return all
}

func (g generator) servers() (all []fields) {
	for i := range 1 + g.IntN(4) {
		server := fields{"address": oneOf(g, fmt.Sprintf("192.168.3.%d", 20+i), fmt.Sprintf("2001:db8:3::%x", 20+i), "cp1.example.org")}
		g.maybe(server, "name", func() any { return fmt.Sprintf("%s%d", oneOf(g, "cp", "backup", "a.b-"), i) })
		g.maybe(server, "port", func() any { return oneOf(g, 6443, 16443, 80) })
		g.maybe(server, "weight", g.between(0, 256))
		g.maybe(server, "maxConnections", g.between(1, 1000))
		g.maybe(server, "backup", g.yes)
		all = append(all, server)
	}
	return all
}

func (g generator) healthCheck() any {
	kind := oneOf(g, "tcp", "http", "https", "none")
	f := fields{"type": kind}
	if kind == "none" {
		return f
	}
	g.maybe(f, "interval", g.millis(100, 10000))
	g.maybe(f, "timeout", g.millis(100, 10000))
	g.maybe(f, "rise", g.between(1, 50))
	g.maybe(f, "fall", g.between(1, 50))
	if kind == "tcp" {
		return f
	}
	g.maybe(f, "path", func() any { return oneOf(g, "/", "/healthz?verbose=%20", "/livez") })
	g.maybe(f, "expectStatus", func() any { return oneOf(g, []int{200}, []int{200, 401}, []int{204, 301, 403}) })
	if kind == "https" {
		g.maybe(f, "caFile", func() any { return CAFile })
	}
	return f
}

func (g generator) proxy() fields {
	f := fields{}
	g.maybe(f, "maxConnections", g.between(100, 10000))
	g.maybe(f, "retries", g.between(0, 100))
	g.maybe(f, "hardStopAfter", func() any { return oneOf(g, "30s", "4h") })
	g.maybe(f, "stats", func() any { return fields{"address": oneOf(g, "127.0.0.1:8404", "[::1]:8404")} })
	g.maybe(f, "timeouts", func() any {
		timeouts := fields{}
		for _, name := range []string{"connect", "client", "server", "tunnel"} {
			g.maybe(timeouts, name, g.millis(100, 100000))
		}
		return timeouts
	})
	return f
}

func (g generator) firewall() any {
	f := fields{"manage": g.yes()}
	g.maybe(f, "allowFrom", func() any { return []string{"192.168.0.0/16", "2001:db8::/32"} })
	return f
}
