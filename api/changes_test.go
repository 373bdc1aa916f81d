package api

import (
	"slices"
	"strings"
	"testing"
)

func TestChanges(t *testing.T) {
	const base = `apiVersion: rlb.dev/v1
kind: LoadBalancerSpec
virtualIPs: [192.168.3.240]
services:
- name: web
  port: 9000
  servers:
  - {name: a, address: 192.168.3.251}
  - {name: b, address: 192.168.3.252}
`
	for _, c := range []struct{ name, from, to, want string }{
		{"nothing", "", "", ""},
		{"a comment", "port: 9000", "port: 9000 # the front door", ""},
		{"a value", "port: 9000", "port: 9001", "services.web.port: 9000 → 9001"},
		{"a list of scalars", "[192.168.3.240]", "[192.168.3.240, 192.168.3.241]", `virtualIPs: ["192.168.3.240"] → ["192.168.3.240","192.168.3.241"]`},
		{"a server more", "  - {name: b", "  - {name: c, address: 192.168.3.253}\n  - {name: b", "services.web.servers.c: added"},
		{"a server less", "  - {name: b, address: 192.168.3.252}\n", "", "services.web.servers.b: removed"},
		{"servers in another order", "{name: a, address: 192.168.3.251}\n  - {name: b, address: 192.168.3.252}", "{name: b, address: 192.168.3.252}\n  - {name: a, address: 192.168.3.251}", ""},
		{"a field more", "services:", "profile: classic\nservices:", "profile: classic"},
		{"a section more", "services:", "vrrp: {priority: 9, routerID: 7}\nservices:", "vrrp: added"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Changes(mustParse(t, base), mustParse(t, strings.Replace(base, c.from, c.to, 1)))
			var want []string
			if c.want != "" {
				want = []string{c.want}
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}
