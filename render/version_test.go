package render

import (
	"slices"
	"strings"
	"testing"
)

func TestAtLeast(t *testing.T) {
	for _, c := range []struct {
		version Version
		want    [3]int
		is      bool
	}{
		{"", [3]int{99, 0, 0}, true}, // unknown, counts as the newest
		{"2.6.12-1+deb12u4", [3]int{2, 6, 12}, true},
		{"2.6.12-1+deb12u4", [3]int{2, 6, 13}, false},
		{"1:2.2.7-1+b2", [3]int{2, 2, 7}, true},
		{"1:2.2.7-1+b2", [3]int{2, 2, 8}, false},
		{"1:2.2.7-1+b2", [3]int{2, 3, 0}, false},
		{"2.10.0", [3]int{2, 9, 9}, true},
		{"3.0", [3]int{3, 0, 0}, true},
		{"3.3~dev1-2", [3]int{3, 2, 9}, true},
		{"1.8.19-1+deb10u4", [3]int{2, 2, 0}, false},
		{"junk", [3]int{0, 0, 1}, false},
	} {
		if got := c.version.atLeast(c.want); got != c.is {
			t.Errorf("%q.atLeast(%v) = %v", c.version, c.want, got)
		}
	}
}

// TestGates renders with the version just below each gate, and with the version of the gate.
func TestGates(t *testing.T) {
	spec := parse(t, shortest+`
virtualIPs: [192.168.3.240]
proxy: {stats: {address: "127.0.0.1:8404"}}
services:
- name: api
  port: 6443
  servers: [{address: cp1.example.org}]
  healthCheck: {expectStatus: [200, 401]}
`)
	const check = "check check-ssl verify none inter 2000ms rise 2 fall 3 fastinter 25ms on-marked-down shutdown-sessions"
	for _, c := range []struct {
		kind      Kind
		below, at Version
		belowSays string // "" if there is no such line
		atSays    string
	}{
		{HAProxyConfig, "2.1.99", "2.2.0", "http-check expect rstatus ^(200|401)$", "http-check expect status 200,401"},
		{HAProxyConfig, "2.1.99", "2.2.0", "", "http-request use-service prometheus-exporter if { path /metrics }"},
		{HAProxyConfig, "2.5.99", "2.6.0", "", "nameserver dns1 203.0.113.53:53"},
		{HAProxyConfig, "3.0.99", "3.1.0", "frontend api", "frontend api:in"},
		{HAProxyConfig, "3.0.99", "3.1~dev2-1", "resolvers rlb", "resolvers rlb:dns"},
		{HAProxyConfig, "3.1.99", "3.2.0", "server server1 cp1.example.org:6443 " + check + " init-addr last,libc,none resolvers rlb:dns resolve-prefer ipv4",
			"server server1 cp1.example.org:6443 " + check + " init-state up init-addr last,libc,none resolvers rlb:dns resolve-prefer ipv4"},
		{HAProxyConfig, "3.2.99", "3.3.0", "", "mworker-max-reloads 2147483647"},
		{KeepalivedConfig, "1:2.0.99", "1:2.1.0", "", "max_auto_priority -1"},
		{KeepalivedConfig, "1:2.0.99", "1:2.1.0", "vrrp_track_file rlb-fault {", "track_file rlb-fault {"},
	} {
		lines := func(v Version) []string {
			facts := factsFor(spec, stable)
			facts.HAProxyVersion, facts.KeepalivedVersion = v, v
			facts.Nameservers = Nameservers([]byte("nameserver 203.0.113.53\n"))
			return directives(t, string(fileOf(t, files(t, spec, facts), c.kind).Data))
		}
		below, at := lines(c.below), lines(c.at)
		if slices.Contains(below, c.atSays) || c.belowSays != "" && !slices.Contains(below, c.belowSays) {
			t.Errorf("%s: want %q in place of %q:\n%s", c.below, c.belowSays, c.atSays, strings.Join(below, "\n"))
		}
		if !slices.Contains(at, c.atSays) || slices.Contains(at, c.belowSays) {
			t.Errorf("%s: want %q in place of %q:\n%s", c.at, c.atSays, c.belowSays, strings.Join(at, "\n"))
		}
	}
}
