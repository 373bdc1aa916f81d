// Package specgen makes random specs that are valid, for tests that give them to the real programs. It speaks the whole
// language: a test fails when a field of the types is never generated. The same seed makes the same spec.
package specgen

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What specs name must be there where they are checked.
const (
	// CAFile is a file with certificates that health checks name.
	CAFile = "/etc/rlb/kubernetes-ca.crt"
	// Interface is that of the virtual IPs where neither the spec nor a node names one.
	Interface = "eth0"
)

var (
	// CAFiles are all files with certificates that health checks name.
	CAFiles = []string{CAFile, "/etc/rlb/a+b@c:1,2=3/ca_.crt"}
	// Interfaces are all that specs name.
	Interfaces = []string{Interface, "eth1", "br-lan.1_a", "enp3s0f0np0v123"}
	// Programs are those that keepalived is to run: executables that only root may write.
	Programs = []string{"/usr/local/sbin/rlb-notify", "/usr/local/sbin/rlb-notify@a+b:c,d=1"}
	// Names are the DNS names of servers, beside localhost.
	Names = []string{"cp1.example.org", "CP2.Example.org", "cp3", "xn--9ca.a-b.example.org"}
)

// Text is the spec of a seed, in YAML.
func Text(seed uint64) string {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0))}
	var b strings.Builder
	write(&b, g.spec(), "\n")
	return strings.TrimPrefix(b.String(), "\n") + "\n"
}

// generator has a method for each part of the language. Each gives a value that is valid by itself and beside the others.
type generator struct {
	*rand.Rand
	families string   // of the virtual IPs, the main one's first
	vips     []string // without prefixes
	classic  bool
	// listening are the addresses that are taken, by port. "*" is one.
	listening map[int][]string
}

// fields is a mapping of the spec.
type fields map[string]any

// maybe gives a field in one of three specs.
func (g *generator) maybe(f fields, name string, value func() any) {
	if g.IntN(3) == 0 {
		f[name] = value()
	}
}

func oneOf[T any](g *generator, values ...T) T { return values[g.IntN(len(values))] }

// write writes a value in YAML: mappings in blocks, with their keys in order, each after the text before.
func write(b *strings.Builder, value any, before string) {
	switch v := value.(type) {
	case fields:
		if len(v) == 0 {
			b.WriteString(" {}")
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			b.WriteString(before + name + ":")
			write(b, v[name], before+"  ")
		}
	case []fields:
		writeList(b, v, before)
	case []any:
		writeList(b, v, before)
	case []string:
		writeList(b, v, before)
	case []int:
		writeList(b, v, before)
	case string:
		quoted, err := json.Marshal(v) // which is a text in double quotes in YAML too
		if err != nil {
			panic(err)
		}
		b.WriteString(" " + string(quoted))
	default:
		fmt.Fprint(b, " ", v)
	}
}

func writeList[T any](b *strings.Builder, list []T, before string) {
	if len(list) == 0 {
		b.WriteString(" []")
	}
	for _, item := range list {
		b.WriteString(before + "-")
		write(b, item, before+"  ")
	}
}

// rarely is true once in so many times.
func (g *generator) rarely(times int) bool { return g.IntN(times) == 0 }

// number is one of the bounds in a quarter of the cases.
func (g *generator) number(least, most int) int {
	switch g.IntN(8) {
	case 0:
		return least
	case 1:
		return most
	case 2, 3:
		return least + g.IntN(min(most-least, 50)+1)
	}
	return least + g.IntN(most-least+1)
}

func (g *generator) between(least, most int) func() any {
	return func() any { return g.number(least, most) }
}

func (g *generator) yes() any { return g.IntN(2) == 0 }

// text gives one of some texts.
func (g *generator) text(texts ...string) func() any {
	return func() any { return oneOf(g, texts...) }
}

// duration is a number of units in one of the ways in which Go writes it.
func (g *generator) duration(least, most int, unit time.Duration) string {
	d := time.Duration(g.number(least, most)) * unit
	switch g.IntN(6) {
	case 0:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case 1:
		return strconv.FormatFloat(float64(d.Milliseconds())/1000, 'f', -1, 64) + "s"
	case 2:
		return fmt.Sprintf("%dus", d.Microseconds())
	}
	return d.String()
}

func (g *generator) durations(least, most int, unit time.Duration) func() any {
	return func() any { return g.duration(least, most, unit) }
}

// longest is HAProxy's longest time, in milliseconds.
const longest = 1<<31 - 1

// time is any time that HAProxy takes. Those that are seen in practice come more often.
func (g *generator) time() any {
	if g.IntN(3) > 0 {
		return g.duration(1, 600, time.Second)
	}
	return g.duration(1, longest, time.Millisecond)
}

// word is a text of so many of the letters; first is what it begins with.
func (g *generator) word(first, letters string, least, most int) string {
	var b strings.Builder
	for i := range g.number(least, most) {
		from := letters
		if i == 0 {
			from = first
		}
		b.WriteByte(from[g.IntN(len(from))])
	}
	return b.String()
}

const alphanumeric = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

// name is one for which the language has the rule "name". Some are words of the programs' own, and names that the agent
// itself gives.
func (g *generator) name(limit int) string {
	if g.IntN(2) == 0 {
		return oneOf(g, "kube-apiserver", "web", "rlb", "MASTER", "GLOBAL", "default", "check", "a.b_c-d", "9", "server1", "0x", "dns", "true", "1e3", "to", "if")
	}
	return g.word(alphanumeric, alphanumeric+"._-", 1, limit)
}

// names are different from each other, in any letter case.
func (g *generator) names(n, limit int) (all []string) {
	for i := range n {
		name := g.name(limit)
		if slices.ContainsFunc(all, func(other string) bool { return strings.EqualFold(name, other) }) {
			name = fmt.Sprintf("n%d", i)
		}
		all = append(all, name)
	}
	return all
}

// dnsName is a DNS name, at times one as long as it may be.
func (g *generator) dnsName() string {
	if g.rarely(20) {
		label := strings.Repeat("a", 63)
		return label + "." + label + "." + label + "." + label[:61]
	}
	var labels []string
	for range 1 + g.IntN(4) {
		labels = append(labels, g.word(alphanumeric, alphanumeric, 1, 12))
	}
	return strings.Join(append(labels, oneOf(g, "org", "example.ORG", "x", "c0m")), ".")
}

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

// prefix is a prefix length that is at times at one of its bounds.
func (g *generator) prefix(least, bits int) int { return g.number(least, bits) }

// virtualIPs are in networks of different kinds. That of the nodes comes most often.
func (g *generator) virtualIPs() (all []any) {
	most := 3
	if g.rarely(20) {
		most = 20 / len(g.families)
	}
	for _, family := range g.families {
		for i := range 1 + g.IntN(most) {
			n := 101 + 4*i + g.IntN(4) // neither the first nor the last of any network shorter than /32
			address, prefix := fmt.Sprintf("%s.%d", oneOf(g, "192.168.3", "192.168.3", "192.168.3", "10.255.0", "169.254.7", "1.0.0", "223.255.255"), n), 24
			if family == '6' {
				form := oneOf(g, "2001:db8:3::%x", "2001:db8:3::%x", "2001:DB8:3:0:0:0:0:%X", "fd00::a:%04x", "fe80::%x", "2001:db8:3::192.168.3.%d")
				address, prefix = fmt.Sprintf(form, n), 64
			}
			g.vips = append(g.vips, address)
			if g.IntN(3) == 0 {
				if g.rarely(4) {
					prefix = oneOf(g, 1, 8, prefix-1, map[rune]int{'4': 32, '6': 128}[family])
				}
				address += fmt.Sprintf("/%d", prefix)
			}
			var vip any = address
			if g.rarely(5) {
				mapping := fields{"address": address}
				g.maybe(mapping, "interface", g.text(Interfaces...))
				vip = mapping
			}
			all = append(all, vip)
		}
	}
	return all
}

// nodes have addresses of both families, or of those that the virtual IPs need.
func (g *generator) nodes() any {
	var all []fields
	count := oneOf(g, 1, 2, 2, 2, 3, 3, 12)
	own := g.yes().(bool)
	for i, name := range g.names(count, 128) {
		four, six := fmt.Sprintf("192.168.3.%d", 241+i), fmt.Sprintf("2001:db8:3::%x", 0x241+i)
		addresses := []string{four, six}
		switch {
		case !own:
		case g.families == "4":
			addresses = []string{four}
		case g.families == "6":
			addresses = []string{six}
		case g.IntN(2) == 0:
			addresses = []string{six, four}
		}
		node := fields{"name": name, "addresses": addresses}
		g.maybe(node, "priority", g.between(1, 254))
		if g.rarely(6) {
			node["interface"] = oneOf(g, Interfaces...)
		}
		all = append(all, node)
	}
	return all
}

func (g *generator) vrrp() any {
	f := fields{}
	g.maybe(f, "interface", g.text(Interfaces...))
	g.maybe(f, "routerID", g.between(1, 255))
	g.maybe(f, "priority", g.between(1, 254))
	g.maybe(f, "transport", g.text("multicast"))
	g.maybe(f, "handover", g.text("forward", "none"))
	g.maybe(f, "instanceName", func() any { return oneOf(g, "VI_1", "a.b-c", g.name(128)) })
	g.maybe(f, "check", func() any {
		check := fields{}
		g.maybe(check, "interval", g.durations(1, 60*60, time.Second))
		g.maybe(check, "rise", g.between(1, 1000))
		g.maybe(check, "fall", g.between(1, 1000))
		return check
	})
	g.maybe(f, "preempt", func() any {
		preempt := g.yes().(bool)
		if preempt {
			g.maybe(f, "preemptDelay", g.durations(0, 1000, time.Second))
		}
		return preempt
	})
	version := 3
	if g.classic {
		version = 2
	}
	g.maybe(f, "version", func() any { version = oneOf(g, 2, 3); return version })
	g.maybe(f, "advertisementInterval", func() any {
		switch {
		case version == 2 && strings.Contains(g.families, "6"): // IPv6 has version 3
			return g.duration(1, 40, time.Second)
		case version == 2:
			return g.duration(1, 255, time.Second)
		}
		return g.duration(1, 4095, 10*time.Millisecond) // version 3 alone has parts of a second
	})
	g.maybe(f, "notify", func() any {
		notify := fields{}
		for _, event := range []string{"master", "backup", "fault", "stop"} {
			g.maybe(notify, event, g.command)
		}
		return notify
	})
	g.maybe(f, "extraInstance", func() any {
		lines := []string{"garp_master_delay 1", "garp_master_repeat 2", "garp_lower_prio_repeat 1", "# why: {", "", "higher_prio_send_advert true",
			"smtp_alert false", "virtual_rules {\n}"}
		if version == 2 && g.families == "4" {
			lines = append(lines, "authentication {\n  auth_type PASS\n  auth_pass k8s-lb\n}")
		}
		return g.lines(lines...)
	})
	return f
}

// command is a path, or a list of it and its arguments.
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

// lines are raw lines, each at most once, as a block or as a list.
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

// allowFrom are at least so many CIDRs.
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

// free takes an address and port; it tells whether nothing had it.
func (g *generator) free(address string, port int) bool {
	taken := g.listening[port]
	if slices.Contains(taken, "*") || slices.Contains(taken, strings.ToLower(address)) || address == "*" && len(taken) > 0 {
		return false
	}
	g.listening[port] = append(taken, strings.ToLower(address))
	return true
}

// ownAddress is an address and port that nothing else has, of the stats page, the metrics or the status page.
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

// bind is "*", an address or a list of them.
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

// binds are what a bind, or none, stands for.
func binds(bind any) []string {
	switch b := bind.(type) {
	case string:
		return []string{b}
	case []string:
		return b
	}
	return []string{"*"}
}

// services are some, at times as many as a file of an ordinary size holds. Some have the address and port of the one
// before, and TLS server names that tell them apart.
func (g *generator) services() (all []fields) {
	count := 1 + g.IntN(4)
	if g.rarely(50) {
		count = 60
	}
	rest := false // whether a service without names has the place already
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
		g.maybe(service, "extraServer", g.text("slowstart 30s", "slowstart 5m maxqueue 10", "source 0.0.0.0", "minconn 1 maxconn 10", "  error-limit 5  ", ""))
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

// serverNames are those of the i-th service. No other service has one of them.
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
		// Names by default are of the form server1, server2: some names of ours are too.
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

// healthCheck is one with a type, or, where it has nothing that hangs on the type, without.
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
