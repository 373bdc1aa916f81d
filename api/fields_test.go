package api

import (
	"fmt"
	"strings"
	"testing"
)

// TestRanges tries both ends of every number and the numbers beyond them.
func TestRanges(t *testing.T) {
	for _, r := range []struct {
		form, path string // form is appended to base, with the number in place of %d
		min, max   int
	}{
		{"  port: %d", "services[0].port", 1, 65535},
		{"    port: %d", "services[0].servers[0].port", 1, 65535},
		{"    weight: %d", "services[0].servers[0].weight", 0, 256},
		{"    maxConnections: %d", "services[0].servers[0].maxConnections", 1, 1000000},
		{"  healthCheck: {port: %d}", "services[0].healthCheck.port", 1, 65535},
		{"  healthCheck: {rise: %d}", "services[0].healthCheck.rise", 1, 1000},
		{"  healthCheck: {fall: %d}", "services[0].healthCheck.fall", 1, 1000},
		{"  healthCheck: {type: http, expectStatus: [%d]}", "services[0].healthCheck.expectStatus[0]", 100, 599},
		{"vrrp: {routerID: %d}", "vrrp.routerID", 1, 255},
		{"vrrp: {priority: %d}", "vrrp.priority", 1, 254},
		{"vrrp: {check: {rise: %d}}", "vrrp.check.rise", 1, 1000},
		{"vrrp: {check: {fall: %d}}", "vrrp.check.fall", 1, 1000},
		{"nodes: [{name: a, addresses: [10.0.0.1], priority: %d}]", "nodes[0].priority", 1, 254},
		{"proxy: {maxConnections: %d}", "proxy.maxConnections", 1, 10000000},
		{"proxy: {retries: %d}", "proxy.retries", 0, 100},
	} {
		t.Run(r.path, func(t *testing.T) {
			text, line := base, 9
			if r.path == "services[0].port" {
				text, line = strings.Replace(base, "  port: 80\n", "", 1), 8
			}
			form := text + r.form + "\n"
			for _, good := range []int{r.min, r.max} {
				expect(t, fmt.Sprintf(form, good))
			}
			for _, bad := range []int{r.min - 1, r.max + 1, -5} {
				expect(t, fmt.Sprintf(form, bad), fmt.Sprintf("%d:%d: %s: must be %d to %d, got %d",
					line, strings.Index(r.form, "%")+1, r.path, r.min, r.max, bad))
			}
		})
	}
}

func TestChoices(t *testing.T) {
	checkRuleTable(t, map[string]rule{
		"apiVersion": {"rlb.dev/v1", "v1", `1:13: apiVersion: must be rlb.dev/v1, got "v1"`, "rlb.dev/v1"},
		"kind":       {"LoadBalancerSpec", "Pod", `2:7: kind: must be LoadBalancerSpec, got "Pod"`, "LoadBalancerSpec"},
		"profile":    {"", "profile: Classic", `9:10: profile: must be standard or classic, got "Classic"`, "profile: classic"},
		"version":    {"", "vrrp: {version: 4}", `9:17: vrrp.version: must be 2 or 3, got 4`, "vrrp: {version: 2}"},
		"transport":  {"", "vrrp: {transport: tcp}", `9:19: vrrp.transport: must be multicast or unicast, got "tcp"`, "vrrp: {transport: multicast}"},
		"balance":    {"", "  balance: rr", `9:12: services[0].balance: must be roundrobin, leastconn, source, static-rr or first, got "rr"`, "  balance: static-rr"},
		"handover":   {"", "vrrp: {handover: drop}", `9:18: vrrp.handover: must be forward or none, got "drop"`, "vrrp: {handover: none}"},
		"PROXY":      {"", "  sendProxyProtocol: v3", `9:22: services[0].sendProxyProtocol: must be none, v1 or v2, got "v3"`, "  sendProxyProtocol: v2"},
		"raw words":  {"", "  extraServer: \"a\\nb\"", `9:16: services[0].extraServer: must be one line without control characters, got "a\nb": it holds a line break`, "  extraServer: slowstart 30s # not more"},
		"check":      {"", "  healthCheck: {type: icmp}", `9:23: services[0].healthCheck.type: must be tcp, http, https or none, got "icmp"`, "  healthCheck: {type: none}"},
		"drift":      {"", "reconcile: {drift: ignore}", `9:20: reconcile.drift: must be repair or report, got "ignore"`, "reconcile: {drift: report}"},
		"textfile":   {"", "metrics: {textfile: /tmp/x}", `9:21: metrics.textfile: must end in ".prom", got "/tmp/x"`, "metrics: {textfile: /tmp/x.prom}"},
	})
}

func TestCounts(t *testing.T) {
	addresses := func(n int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf("10.9.%d.%d", i/250, i%250+1))
		}
		return strings.Join(list, ",")
	}
	services := func(n int) string {
		text := "apiVersion: rlb.dev/v1\nkind: LoadBalancerSpec\nvirtualIPs: [10.0.0.1]\nservices:\n"
		for i := range n {
			text += fmt.Sprintf("- {name: s%d, port: %d, servers: [{address: 10.0.0.2}]}\n", i, i+1)
		}
		return text
	}
	servers := func(n int) string {
		return strings.Replace(base, "  - address: 192.168.3.251", strings.Repeat("  - address: 192.168.3.251\n", n), 1)
	}
	expect(t, with(t, "[192.168.3.240]", "["+addresses(20)+"]"))
	expect(t, with(t, "[192.168.3.240]", "["+addresses(21)+"]"), "3:13: virtualIPs: must have 1 to 20 entries, got 21")
	expect(t, with(t, "[192.168.3.240]", "[]"), "3:13: virtualIPs: must have 1 to 20 entries, got 0")
	expect(t, services(1000))
	expect(t, services(1001), "5:1: services: must have 1 to 1000 entries, got 1001")
	expect(t, servers(10000))
	expect(t, servers(10001), "8:3: services[0].servers: must have 1 to 10000 entries, got 10001")
	expect(t, with(t, "", "  allowFrom: []"), "9:14: services[0].allowFrom: must have 1 to 1000 entries, got 0")
	expect(t, with(t, "", "nodes: [{name: a, addresses: []}]"), "9:30: nodes[0].addresses: must have 1 to 2 entries, got 0")
	expect(t, with(t, "", "nodes: [{name: a, addresses: [10.0.0.1, '::2', 10.0.0.3]}]"), "9:30: nodes[0].addresses: must have 1 to 2 entries, got 3")
	expect(t, with(t, "", "  healthCheck: {type: http, expectStatus: []}"), "9:43: services[0].healthCheck.expectStatus: must have 1 to 100 entries, got 0")
}
