package api

import (
	"strings"
	"testing"

	"rlb.dev/rlb-agent/api/yamlfile"
)

func TestRulesOfAddresses(t *testing.T) {
	const nodes = "nodes:\n- {name: a, addresses: [10.0.0.1]}\n- {name: b, addresses: [%]}"
	second := func(addresses string) string { return strings.Replace(nodes, "%", addresses, 1) }
	const dual = "[192.168.3.240, 'fd00::1']\n"
	checkRuleTable(t, map[string]rule{
		"VIP twice":         {"[192.168.3.240]", "[10.0.0.1, 10.0.0.2, 10.0.0.1/24]", `3:34: virtualIPs[2]: must be unique, got the same as virtualIPs[0]`, "[10.0.0.1, 10.0.0.2]"},
		"VIP twice, IPv6":   {"[192.168.3.240]", "['fd00::1', 'FD00:0::1']", `3:25: virtualIPs[1]: must be unique, got the same as virtualIPs[0]`, "['fd00::1', 'fd00::2']"},
		"node twice":        {"", "nodes: [{name: a, addresses: [10.0.0.1]}, {name: a, addresses: [10.0.0.2]}]", `9:50: nodes[1].name: must be unique, got the same as nodes[0].name`, second("10.0.0.2")},
		"address twice":     {"", second("10.0.0.1"), `11:25: nodes[1].addresses[0]: must be unique, got the same as nodes[0].addresses[0]`, second("10.0.0.2")},
		"two of a family":   {"", second("10.0.0.2, 10.0.0.3"), `11:35: nodes[1].addresses[1]: must be the only IPv4 address of the node, got one beside nodes[1].addresses[0]`, second("10.0.0.2, 'fd00::3'")},
		"address is a VIP":  {"", second("192.168.3.240"), `11:25: nodes[1].addresses[0]: must be the node's own address, got the same as virtualIPs[0]`, second("192.168.3.241")},
		"unicast, no nodes": {"", "vrrp: {transport: unicast}", `9:19: vrrp.transport: unicast must have at least 2 nodes, got 0`, "vrrp: {transport: unicast}\n" + second("10.0.0.2")},
		"unicast, one node": {"", "vrrp: {transport: unicast}\nnodes: [{name: a, addresses: [10.0.0.1]}]", `9:19: vrrp.transport: unicast must have at least 2 nodes, got 1`, "nodes: [{name: a, addresses: [10.0.0.1]}]"},
		"multicast, IPv4":   {"", second("'fd00::2'"), `11:24: nodes[1].addresses: must hold an IPv4 address for virtualIPs[0], got none`, second("'fd00::2', 10.0.0.2")},
		"unicast, IPv6": {"[192.168.3.240]\n", dual + "vrrp: {transport: unicast}\n" + second("10.0.0.2, 'fd00::3'") + "\n",
			`6:24: nodes[0].addresses: must hold an IPv6 address for virtualIPs[1], got none`,
			dual + second("10.0.0.2, 'fd00::3'") + "\n"},
		"unicast, IPv4": {"[192.168.3.240]\n", "['fd00::1', 192.168.3.240]\nvrrp: {transport: unicast}\nnodes:\n- {name: a, addresses: ['fd00::2', 10.0.0.1]}\n- {name: b, addresses: ['fd00::3']}\n",
			`7:24: nodes[1].addresses: must hold an IPv4 address for virtualIPs[1], got none`,
			"['fd00::1']\nvrrp: {transport: unicast}\nnodes:\n- {name: a, addresses: ['fd00::2']}\n- {name: b, addresses: ['fd00::3']}\n"},
	})
}

func TestRulesOfServices(t *testing.T) {
	more := func(fields string) string { return "- {servers: [{address: 10.0.0.2}], " + fields + "}" }
	const wayOut = ": give the service another port, or bind it to the virtual IP and the server to its own address (kube-apiserver: --bind-address)"
	const taken = ": must be a free address and port, got those of "
	checkRuleTable(t, map[string]rule{
		"name twice":          {"", more("port: 81, name: web"), `9:52: services[1].name: must be unique, got the same as services[0].name`, more("port: 81, name: Web")},
		"port twice":          {"", more("name: b, port: 80"), `9:51: services[1].port` + taken + `services[0].port; services on one port are told apart by sni`, more("name: b, port: 81")},
		"all, then one":       {"", more("name: b, bind: 10.0.0.9, port: 80"), `9:67: services[1].port` + taken + `services[0].port; services on one port are told apart by sni`, more("name: b, bind: 10.0.0.9, port: 81")},
		"one, then all":       {"", "  bind: 10.0.0.9\n" + more("name: b, port: 80"), `10:51: services[1].port` + taken + `services[0].port; services on one port are told apart by sni`, "  bind: 10.0.0.9\n" + more("name: b, port: 81")},
		"one twice":           {"", "  bind: 'fd00::1'\n" + more("name: b, bind: 'FD00::1', port: 80"), `10:68: services[1].port` + taken + `services[0].port; services on one port are told apart by sni`, "  bind: 'fd00::1'\n" + more("name: b, bind: 'fd00::2', port: 80")},
		"two, then all":       {"", "  bind: 10.0.0.9\n" + more("name: b, bind: 10.0.0.8, port: 80") + "\n" + more("name: c, port: 80"), `11:51: services[2].port` + taken + `services[0].port; services on one port are told apart by sni`, "  bind: 10.0.0.9\n" + more("name: b, bind: 10.0.0.8, port: 80")},
		"stats":               {"", "proxy: {stats: {address: '127.0.0.1:80'}}", `9:26: proxy.stats.address` + taken + `services[0].port`, "proxy: {stats: {address: '127.0.0.1:81'}}"},
		"stats on another":    {"", "  bind: 10.0.0.9\nproxy: {stats: {address: '10.0.0.9:80'}}", `10:26: proxy.stats.address` + taken + `services[0].port`, "  bind: 10.0.0.9\nproxy: {stats: {address: '127.0.0.1:80'}}"},
		"metrics everywhere":  {"", "  bind: 10.0.0.9\nmetrics: {address: '0.0.0.0:80'}", `10:20: metrics.address` + taken + `services[0].port`, "  bind: 10.0.0.9\nmetrics: {address: '0.0.0.0:81'}"},
		"metrics and stats":   {"", "metrics: {address: '127.0.0.1:9'}\nproxy: {stats: {address: '[::]:9'}}", `9:20: metrics.address` + taken + `proxy.stats.address`, "metrics: {address: '127.0.0.1:9'}\nproxy: {stats: {address: '127.0.0.2:9'}}"},
		"web and metrics":     {"", "metrics: {address: '127.0.0.1:9'}\nweb: {address: '127.0.0.1:9'}", `10:16: web.address` + taken + `metrics.address`, "metrics: {address: '127.0.0.1:9'}\nweb: {address: 'unix:/9'}"},
		"server twice":        {"", "    name: a\n  - {name: a, address: 10.0.0.2}", `10:12: services[0].servers[1].name: must be unique, got the same as services[0].servers[0].name`, "    name: a\n  - {name: b, address: 10.0.0.2}"},
		"server, default 2nd": {"", "    name: server2\n  - address: 10.0.0.2", `10:5: services[0].servers[1].name: must be unique, got the default "server2" and the same as services[0].servers[0].name`, "    name: server1\n  - address: 10.0.0.2"},
		"server, default 1st": {"", "  - {name: server1, address: 10.0.0.2}", `9:12: services[0].servers[1].name: must be unique, got the same as services[0].servers[0].name`, "  - {name: server2, address: 10.0.0.2}"},
		"a VIP":               {"192.168.3.251", "192.168.3.240", `8:14: services[0].servers[0].address: must not be a virtual IP, got that of virtualIPs[0]: it leads back to the load balancer`, "192.168.3.241"},
		"a VIP, another port": {"192.168.3.251", "192.168.3.240\n    port: 81", `8:14: services[0].servers[0].address: must not be a virtual IP, got that of virtualIPs[0]: it leads back to the load balancer`, "192.168.3.241\n    port: 81"},
		"loop to a node":      {"192.168.3.251\n", "10.0.0.1\nnodes: [{name: a, addresses: [10.0.0.1]}]\n", `8:14: services[0].servers[0].address: must not lead back to the load balancer, got "10.0.0.1" with port 80, where services[0] listens itself` + wayOut, "10.0.0.1\n    port: 81\nnodes: [{name: a, addresses: [10.0.0.1]}]\n"},
		"node, bound to VIP":  {"192.168.3.251\n", "10.0.0.1\n  bind: [10.0.0.1, 192.168.3.240]\nnodes: [{name: a, addresses: [10.0.0.1]}]\n", `8:14: services[0].servers[0].address: must not lead back to the load balancer, got "10.0.0.1" with port 80, where services[0] listens itself` + wayOut, "10.0.0.1\n  bind: 192.168.3.240\nnodes: [{name: a, addresses: [10.0.0.1]}]\n"},
		"loop to localhost":   {"192.168.3.251", "localhost", `8:14: services[0].servers[0].address: must not lead back to the load balancer, got "localhost" with port 80, where services[0] listens itself` + wayOut, "localhost\n    port: 81"},
		"loop to itself":      {"192.168.3.251", "127.0.0.1", `8:14: services[0].servers[0].address: must not lead back to the load balancer, got "127.0.0.1" with port 80, where services[0] listens itself` + wayOut, "127.0.0.1\n    port: 81"},
		"loop to its address": {"192.168.3.251\n", "10.0.0.9\n  bind: 10.0.0.9\n", `8:14: services[0].servers[0].address: must not lead back to the load balancer, got "10.0.0.9" with port 80, where services[0] listens itself` + wayOut, "10.0.0.9\n  bind: 10.0.0.8\n"},
	})
	t.Run("a chain of services", func(t *testing.T) {
		expect(t, base+"- {name: b, port: 81, servers: [{address: 127.0.0.1, port: 80}]}\n")
	})
}

func TestRulesOfServerNames(t *testing.T) {
	first := "  sni: [a.example]\n"
	more := func(fields string) string { return "- {servers: [{address: 10.0.0.2}], " + fields + "}" }
	const one = ": sni makes the two one frontend"
	checkRuleTable(t, map[string]rule{
		"none, none": {"", more("port: 80, name: b"), `9:42: services[1].port: must be a free address and port, got those of services[0].port; services on one port are told apart by sni`, more("port: 80, name: b, sni: [b.example]")},
		"two rests":  {"", first + more("port: 80, name: b") + "\n" + more("port: 80, name: c"), `11:3: services[2]: must have sni, since services[1] takes the rest of its address and port`, first + more("port: 80, name: b") + "\n" + more("port: 80, name: c, sni: [c.example]")},
		"name twice": {"", first + more("port: 80, name: b, sni: [b.example, A.example]"), `10:72: services[1].sni[1]: must be unique on its address and port, got the same as services[0].sni[0]`, first + more("port: 80, name: b, sni: [b.example, '*.a.example']")},
		"in itself":  {"", "  sni: [a.example, a.example]\n", `9:20: services[0].sni[1]: must be unique on its address and port, got the same as services[0].sni[0]`, first},
		"bind":       {"", first + more("port: 80, name: b, sni: [b.example], bind: 10.0.0.9"), `10:79: services[1].bind: must be the same as services[0].bind` + one, first + more("port: 80, name: b, sni: [b.example], bind: '*'")},
		"bind, list": {"", first + "  bind: [10.0.0.8, 10.0.0.9]\n" + more("port: 80, name: b, sni: [b.example], bind: [10.0.0.9]"), `11:79: services[1].bind: must be the same as services[0].bind` + one, first + "  bind: [10.0.0.8, 10.0.0.9]\n" + more("port: 80, name: b, sni: [b.example], bind: [10.0.0.9, 10.0.0.8]")},
		"allowFrom":  {"", first + "  allowFrom: [10.0.0.0/8]\n" + more("port: 80, name: b, sni: [b.example]"), `11:3: services[1].allowFrom: must be the same as services[0].allowFrom` + one, first + "  allowFrom: [10.0.0.0/8]\n" + more("port: 80, name: b, sni: [b.example], allowFrom: [10.0.0.0/8]")},
		"PROXY":      {"", first + more("port: 80, name: b, sni: [b.example], acceptProxyProtocol: true"), `10:94: services[1].acceptProxyProtocol: must be the same as services[0].acceptProxyProtocol` + one, first + "  acceptProxyProtocol: true\n" + more("port: 80, name: b, sni: [b.example], acceptProxyProtocol: true")},
		"timeout":    {"", first + more("port: 80, name: b, sni: [b.example], timeouts: {client: 5s}"), `10:92: services[1].timeouts.client: must be the same as services[0].timeouts.client` + one, first + more("port: 80, name: b, sni: [b.example], timeouts: {server: 5s}")},
		"no name":    {"", "  sni: [10.0.0.1]", `9:9: services[0].sni[0]: must be a DNS name, or "*." and a DNS name, got "10.0.0.1"`, "  sni: ['*.example', b-c.example]"},
		"a star":     {"", "  sni: ['a.*.example']", `9:9: services[0].sni[0]: must be a DNS name, or "*." and a DNS name, got "a.*.example"`, first},
		"empty":      {"", "  sni: []", `9:8: services[0].sni: must have 1 to 100 entries, got 0`, first},
	})
	t.Run("all that differs", func(t *testing.T) {
		expect(t, base+first+"  acceptProxyProtocol: true\n  allowFrom: [10.0.0.0/8]\n  timeouts: {client: 5s}\n"+more("port: 80, name: b, sni: [b.example]"),
			`13:3: services[1].allowFrom: must be the same as services[0].allowFrom`+one,
			`13:3: services[1].acceptProxyProtocol: must be the same as services[0].acceptProxyProtocol`+one,
			`13:3: services[1].timeouts.client: must be the same as services[0].timeouts.client`+one)
	})
}

func TestRulesOfRawLines(t *testing.T) {
	const section = `: the generated lines behind it would belong to it; a section of its own stands in proxy.extraDefaults`
	const chroot = "external-check cannot work: HAProxy runs in the chroot /var/lib/haproxy, where there are no programs; use healthCheck with type http and its port, path and method"
	instance := func(lines string) string {
		return "vrrp:\n  extraInstance: |\n    " + strings.ReplaceAll(lines, "\n", "\n    ")
	}
	checkRuleTable(t, map[string]rule{
		"section":            {"", "  extraBackend: |\n    option x\n    listen stats", `11:5: services[0].extraBackend[1]: must not open a section, got "listen"` + section, "proxy: {extraDefaults: [listen stats]}"},
		"default_backend":    {"", "  extraFrontend:\n  - default_backend other", `10:5: services[0].extraFrontend[0]: default_backend has no effect: the default_backend of the service comes after it; use a use_backend line`, "  extraFrontend: [use_backend other if FALSE]\n"},
		"section, frontend":  {"", "  extraFrontend:\n  - resolvers x", `10:5: services[0].extraFrontend[0]: must not open a section, got "resolvers"` + section, "proxy: {extraGlobal: [resolvers x]}"},
		"section, defaults":  {"", "proxy:\n  extraDefaults: |\n    defaults\n      timeout queue 5s", `11:5: proxy.extraDefaults[0]: must not open a defaults section: the services would inherit from it alone; the lines stand without this one, and another section of defaults in proxy.extraGlobal`, "proxy: {extraGlobal: [defaults x], extraDefaults: [timeout queue 5s, listen stats]}"},
		"external check":     {"", "  extraBackend:\n  - option external-check", `10:5: services[0].extraBackend[0]: ` + chroot, "  extraBackend: ['option httpchk']"},
		"external, defaults": {"", "proxy: {extraDefaults: [option external-check]}", `9:25: proxy.extraDefaults[0]: ` + chroot, "proxy: {extraDefaults: [option httpchk]}"},
		"preempt_delay":      {"", instance("preempt_delay 300"), `11:5: vrrp.extraInstance[0]: must not be preempt_delay, which the instance has already: use vrrp.preemptDelay and vrrp.preempt: true`, "vrrp: {preempt: true, preemptDelay: 300s}"},
		"a second state":     {"", instance("garp_master_delay 1\nstate MASTER"), `12:5: vrrp.extraInstance[1]: must not be state, which the instance has already: use vrrp.priority; no node is master by configuration`, instance("x {\n state MASTER\n}")},
		"passwords":          {"", instance("authentication {\n  auth_type PASS\n}"), `11:5: vrrp.extraInstance[0]: must not be authentication: VRRP version 3 has no passwords (RFC 9568 §9); use nodes and transport: unicast, then only the peers are heard`, "vrrp:\n  version: 2\n  extraInstance: |\n    authentication {\n    }"},
		"a brace too few":    {"", instance("# {\ntrack_interface {\n  eth1"), `12:5: vrrp.extraInstance[1]: must close the block that it opens: 1 more { than }`, instance("track_interface {\n  eth1 # {\n  \"}{{\"\n}")},
		"a brace too many":   {"", instance("track_interface {\n}\n}"), `10:18: vrrp.extraInstance: must not close a block that it does not open: 1 more } than {`, instance("}\nvrrp_instance B {\n  state BACKUP")},
	})
}

func TestPreemptDelay(t *testing.T) {
	checkRuleTable(t, map[string]rule{
		"without preempt": {"", "vrrp: {preemptDelay: 5s}", `9:22: vrrp.preemptDelay: must go with vrrp.preempt: true, got 5s without it`, "vrrp: {preempt: true, preemptDelay: 5s}"},
		"0s":              {"", "vrrp: {preempt: true, preemptDelay: 1001s}", `9:37: vrrp.preemptDelay: must be 0s to 1000s in whole seconds, got 16m41s`, "vrrp: {preemptDelay: 0s}"},
		"parts":           {"", "vrrp: {preempt: true, preemptDelay: 1.5s}", `9:37: vrrp.preemptDelay: must be 0s to 1000s in whole seconds, got 1.5s`, "vrrp: {preempt: true, preemptDelay: 1000s}"},
	})
}

func TestRulesOfHealthChecks(t *testing.T) {
	const at = "9:23: services[0].healthCheck."
	checkRuleTable(t, map[string]rule{
		"path, tcp":          {"", "  healthCheck: {path: /x, type: tcp}", at + `path: must go with type http or https, got "tcp"`, "  healthCheck: {path: /x, type: http}"},
		"path, default":      {"", "  healthCheck: {path: /x}", at + `path: must go with type http or https, got "tcp", the default here`, "    port: 6443\n  healthCheck: {path: /x}"},
		"path, classic":      {"", "  healthCheck: {path: /x}\nprofile: classic", at + `path: must go with type http or https, got "tcp", the default here`, "  healthCheck: {type: https, path: /x}\nprofile: classic"},
		"expectStatus, none": {"", "  healthCheck: {expectStatus: [200], type: none}", "9:31: services[0].healthCheck." + `expectStatus: must go with type http or https, got "none"`, "  healthCheck: {expectStatus: [200], type: https}"},
		"caFile, http":       {"", "  healthCheck: {type: http, caFile: /x}", `9:37: services[0].healthCheck.caFile: must go with type https, got "http"`, "  healthCheck: {type: https, caFile: /x}"},
		"port, none":         {"", "  healthCheck: {port: 81, type: none}", at + `port: must go with type tcp, http or https, got "none"`, "  healthCheck: {port: 81}"},
		"method, tcp":        {"", "  healthCheck: {method: HEAD}", "9:25: services[0].healthCheck." + `method: must go with type http or https, got "tcp", the default here`, "  healthCheck: {type: http, method: HEAD}"},
		"method, another":    {"", "  healthCheck: {method: POST, type: http}", "9:25: services[0].healthCheck." + `method: must be GET, HEAD or OPTIONS, got "POST"`, "  healthCheck: {type: http, method: OPTIONS}"},
		"host, tcp":          {"", "  healthCheck: {host: a.example}", at + `host: must go with type http or https, got "tcp", the default here`, "  healthCheck: {type: https, host: a.example}"},
		"host, address":      {"", "  healthCheck: {host: 10.0.0.1, type: http}", at + `host: must be a DNS name, got "10.0.0.1"`, "  healthCheck: {type: http, host: a}"},
		"cutAfter, tcp":      {"", "  healthCheck: {cutAfter: 5s}", "9:27: services[0].healthCheck." + `cutAfter: must go with type http or https, got "tcp", the default here`, "  healthCheck: {cutAfter: 0s}"},
		"failOpen, none":     {"", "  failOpen: true\n  healthCheck: {type: none}", `9:13: services[0].failOpen: must go with type tcp, http or https of the health check, got "none"`, "  failOpen: false\n  healthCheck: {type: none}"},
		"status twice":       {"", "  healthCheck: {type: http, expectStatus: [200, 204, 200]}", `9:54: services[0].healthCheck.expectStatus[2]: must be unique, got the same as services[0].healthCheck.expectStatus[0]`, "  healthCheck: {type: http, expectStatus: [200, 204]}"},
	})
}

func TestDurations(t *testing.T) {
	const (
		v3      = "10ms to 40.95s in steps of 10ms"
		v2      = "1s to 255s in whole seconds (below 1s only with vrrp.version 3)"
		millis  = "1ms to 2147483647ms in whole milliseconds"
		seconds = "1s to 1h in whole seconds"
	)
	limits := []string{"1ms", "2147483647ms", "4h"}
	beyond := []string{"0s", "-1s", "2147483648ms", "1500us", "1ns"}
	for _, d := range []struct {
		before, after, path, want string
		good, bad                 []string
	}{
		{"vrrp: {advertisementInterval: ", "}", "vrrp.advertisementInterval", v3, []string{"10ms", "40.95s", "100ms"}, []string{"0s", "9ms", "15ms", "40.96s", "-1s"}},
		{"vrrp: {advertisementInterval: ", ", version: 2}", "vrrp.advertisementInterval", v2, []string{"1s", "255s"}, []string{"100ms", "1.5s", "256s"}},
		{"vrrp: {advertisementInterval: ", "}\nprofile: classic", "vrrp.advertisementInterval", v2, []string{"2s"}, []string{"990ms"}},
		{"vrrp: {advertisementInterval: ", ", version: 3}\nprofile: classic", "vrrp.advertisementInterval", v3, []string{"10ms"}, []string{"41s"}},
		{"vrrp: {check: {interval: ", "}}", "vrrp.check.interval", seconds, []string{"1s", "1h"}, []string{"999ms", "1.5s", "1h0m1s"}},
		{"  healthCheck: {interval: ", "}", "services[0].healthCheck.interval", millis, limits, beyond},
		{"  healthCheck: {timeout: ", "}", "services[0].healthCheck.timeout", millis, limits, beyond},
		{"  healthCheck: {type: http, cutAfter: ", "}", "services[0].healthCheck.cutAfter", "0s to 2147483647ms in whole milliseconds", append(limits, "0s"), beyond[1:]},
		{"  timeouts: {connect: ", "}", "services[0].timeouts.connect", millis, limits, beyond},
		{"  timeouts: {client: ", "}", "services[0].timeouts.client", millis, limits, beyond},
		{"  timeouts: {server: ", "}", "services[0].timeouts.server", millis, limits, beyond},
		{"  timeouts: {tunnel: ", "}", "services[0].timeouts.tunnel", millis, limits, beyond},
		{"vrrp: {preempt: true, preemptDelay: ", "}", "vrrp.preemptDelay", "0s to 1000s in whole seconds", []string{"0s", "1s", "1000s"}, []string{"1ms", "-1s", "1001s"}},
		{"proxy: {timeouts: {connect: ", "}}", "proxy.timeouts.connect", millis, limits, beyond},
		{"proxy: {timeouts: {client: ", "}}", "proxy.timeouts.client", millis, limits, beyond},
		{"proxy: {timeouts: {server: ", "}}", "proxy.timeouts.server", millis, limits, beyond},
		{"proxy: {timeouts: {tunnel: ", "}}", "proxy.timeouts.tunnel", millis, limits, beyond},
		{"proxy: {hardStopAfter: ", "}", "proxy.hardStopAfter", millis, limits, beyond},
		{"reconcile: {interval: ", "}", "reconcile.interval", "1s to 24h", []string{"1s", "24h", "1.5s"}, []string{"999ms", "24h0m1s"}},
	} {
		t.Run(d.path, func(t *testing.T) {
			for _, good := range d.good {
				expect(t, with(t, "", d.before+good+d.after))
			}
			for _, bad := range d.bad {
				doc, err := Parse("f", []byte(with(t, "", d.before+bad+d.after)))
				value := new(Duration)
				if !value.setText(bad) {
					t.Fatal(bad)
				}
				want := yamlfile.Problem{File: "f", Line: 9, Column: len(d.before) + 1, Path: d.path, Message: "must be " + d.want + ", got " + value.String()}
				if doc != nil || err.Error() != want.String() {
					t.Errorf("got %v, want %v", err, want)
				}
			}
		})
	}
}

// TestIntervalOfBothVersions: the IPv6 instance has version 3 and shares the interval of the IPv4 instance, so the limits
// of both versions apply.
func TestIntervalOfBothVersions(t *testing.T) {
	for _, vips := range []string{`["2001:db8::1"]`, `[192.168.3.240, "2001:db8::1"]`} {
		spec := with(t, "[192.168.3.240]", vips)
		expect(t, spec+"vrrp: {version: 2, advertisementInterval: 40s}\n")
		expect(t, spec+"vrrp: {version: 2, advertisementInterval: 41s}\n",
			"9:43: vrrp.advertisementInterval: must be 1s to 40s in whole seconds, since IPv6 has version 3 of the protocol (below 1s only with vrrp.version 3), got 41s")
	}
}

func TestLines(t *testing.T) {
	for _, field := range []struct{ before, path, after string }{
		{"vrrp: {extraInstance: ", "vrrp.extraInstance", "}"},
		{"  extraFrontend: ", "services[0].extraFrontend", ""},
		{"  extraBackend: ", "services[0].extraBackend", ""},
		{"proxy: {extraGlobal: ", "proxy.extraGlobal", "}"},
		{"proxy: {extraDefaults: ", "proxy.extraDefaults", "}"},
	} {
		t.Run(field.path, func(t *testing.T) {
			column := func(text string) string { return "9:" + text + ": " + field.path }
			start := len(field.before) + 1
			for _, good := range []string{`["a 'b' {c}", "\td # é"]`, `[]`, `""`, `"a\nb\n"`, `["` + strings.Repeat("a", 1<<16-1) + `"]`} {
				expect(t, with(t, "", field.before+good+field.after))
			}
			for _, bad := range []string{`a\nb`, `a\rb`, `\0`, `\e[1m`, `\x7f`, `\x85`} {
				text := with(t, "", field.before+`[ok, "`+bad+`"]`+field.after)
				_, err := Parse("f", []byte(text))
				want := "f:" + column(itoa(start+5)) + "[1]: must be one line without control characters, got "
				if err == nil || !strings.HasPrefix(err.Error(), want) {
					t.Errorf("got %v, want %s", err, want)
				}
			}
			expect(t, with(t, "", field.before+`"a\rb"`+field.after), column(itoa(start))+`[0]: must be one line without control characters, got "a\rb"`)
			expect(t, with(t, "", field.before+`["`+strings.Repeat("a", 1<<16)+`"]`+field.after), column(itoa(start))+`: must be at most 65536 bytes, got 65537`)
		})
	}
}

// TestFollowUps: a problem that is a consequence of another problem is not reported.
func TestFollowUps(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"profile":          {base + "profile: x\nvrrp: {advertisementInterval: 100ms}\n", `9:10: profile: must be standard or classic, got "x"`},
		"version":          {base + "vrrp: {version: 'x', advertisementInterval: 1us}\n", `9:17: vrrp.version: must be a whole number, got a string "x"`},
		"transport":        {base + "vrrp: {transport: x}\nnodes: [{name: a, addresses: ['fd00::9']}]\n", `9:19: vrrp.transport: must be multicast or unicast, got "x"`},
		"nodes":            {base + "vrrp: {transport: unicast}\nnodes: 3\n", `10:8: nodes: must be a list, got 3`},
		"bad names twice":  {base + "- {name: '-', port: 1, servers: [{address: a}]}\n- {name: b, port: 2, servers: {}}\n", "9:10: services[1].name: must be letters, digits, \".\", \"_\" and \"-\", with a letter or digit first, got \"-\"\n10:31: services[2].servers: must be a list, got a mapping"},
		"bind":             {base + "  bind: x\nmetrics: {address: '0.0.0.0:80'}\n", `9:9: services[0].bind: must be "*" or an IPv4 or IPv6 address, not a name, got "x"`},
		"port of a check":  {base + "    port: '6443'\n  healthCheck: {path: /x}\n", `9:11: services[0].servers[0].port: must be a whole number without quotes, got a string "6443"`},
		"type of a check":  {base + "  healthCheck: {type: x, path: /x}\n", `9:23: services[0].healthCheck.type: must be tcp, http, https or none, got "x"`},
		"a bad VIP":        {strings.Replace(base, "[192.168.3.240]", "[x, x]", 1), "3:14: virtualIPs[0]: must be an IPv4 or IPv6 address, got \"x\"\n3:17: virtualIPs[1]: must be an IPv4 or IPv6 address, got \"x\""},
		"a bad name":       {base + "    name: [x]\n  - {address: 10.0.0.1, name: server1}\n", "9:11: services[0].servers[0].name: must be a string, got a list: brackets make a list"},
		"a typo beside it": {strings.Replace(base, "port: 80", "port: 0", 1) + "  prot: 1\n", "6:9: services[0].port: must be 1 to 65535, got 0\n9:3: services[0].prot: unknown field, did you mean \"port\"?"},
		"one of two":       {base + "  - {address: 10.0.0.1, port: x, name: server1}\n", "9:31: services[0].servers[1].port: must be a whole number, got a string \"x\"\n9:40: services[0].servers[1].name: must be unique, got the same as services[0].servers[0].name"},
	} {
		t.Run(name, func(t *testing.T) { expect(t, c.text, strings.Split(c.want, "\n")...) })
	}
}
