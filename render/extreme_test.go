package render

import (
	"fmt"
	"strings"
	"testing"

	"rlb.dev/rlb-agent/hack/lab"
)

// extreme returns a spec with the longest and oddest values that the language accepts.
func extreme() string {
	name := strings.Repeat("n.-_", 32)
	var vips, statuses []string
	for i := range 20 {
		vips = append(vips, fmt.Sprintf("192.168.3.%d/24", 100+i))
	}
	for i := range 100 {
		statuses = append(statuses, fmt.Sprint(300+i))
	}
	label := strings.Repeat("d", 63)
	host := strings.Join([]string{label, label, label, label[:61]}, ".")
	return shortest + "virtualIPs: [" + strings.Join(vips, ", ") + `]
vrrp: {interface: eth0, instanceName: ` + name + `, routerID: 255, advertisementInterval: 40.95s, priority: 1, check: {interval: 1h, rise: 1000, fall: 1000}}
services:
- name: ` + name + `
  bind: 192.168.3.100
  port: 65535
  balance: first
  servers:
  - {name: ` + name + `, address: ` + host + `, weight: 256, maxConnections: 1000000}
  - {name: check, address: localhost, port: 1, weight: 0, backup: true}
  - {name: backup, address: "2001:db8::1"}
  healthCheck:
    type: https
    path: "/` + strings.Repeat("x", 1000) + `._~?=&%+,:@!*()-"
    expectStatus: [` + strings.Join(statuses, ", ") + `]
    caFile: /etc/rlb/kubernetes-ca.crt
    interval: 2147483647ms
    timeout: 2147483647ms
    rise: 1000
    fall: 1000
- {name: default, port: 1, balance: static-rr, servers: [{name: default, address: 10.0.0.1}], healthCheck: {type: http, path: /, interval: 1ms, timeout: 1ms}}
- {name: rlb, port: 2, balance: source, servers: [{name: rlb, address: 10.0.0.1}], healthCheck: {type: none}}
proxy:
  maxConnections: 10000
  retries: 100
  hardStopAfter: 2147483647ms
  timeouts: {connect: 2147483647ms, client: 1ms, server: 2147483647ms, tunnel: 2147483647ms}
  stats: {address: "[::]:3"}
`
}

// TestExtremes: the programs accept the bounds of the language too.
func TestExtremes(t *testing.T) {
	spec := parse(t, extreme())
	onReleases(t, func(t *testing.T, i int, program lab.Release) {
		rendered := files(t, spec, factsFor(spec, releases[i]))
		cfg := fileOf(t, rendered, HAProxyConfig).Data
		if out, err := inTree(t, program, string(cfg), "mkdir -p /etc/rlb; ip link set lo up; echo \"$1\" >/etc/rlb/kubernetes-ca.crt\n"+
			"cat >/h.cfg; haproxy -c -f /h.cfg", string(certificate(t).Data)); err != nil {
			t.Errorf("%v\n%s\n%s", err, out, cfg)
		}
		conf := fileOf(t, rendered, KeepalivedConfig).Data
		if err := lab.CheckKeepalived(t.Context(), program, conf, "eth0"); err != nil {
			t.Errorf("%v\n%s", err, conf)
		}
	})
}
