package render

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestServiceAllowFrom: a service has its own sources, or those of firewall.allowFrom. Both always include the nodes.
func TestServiceAllowFrom(t *testing.T) {
	v4, v6 := chains(t, vip46+twoNodes+`firewall: {allowFrom: [10.0.0.0/8]}
services:
- {name: a, port: 80, servers: [{address: 10.0.0.1}]}
- {name: b, port: 81, servers: [{address: 10.0.0.1}], allowFrom: [192.168.3.0/24, "2001:db8:4::/48"]}
- {name: c, port: 82, servers: [{address: 10.0.0.1}], allowFrom: [0.0.0.0/0, "::/0"]}
`)
	want4 := `-i lo -j RETURN
-s 10.0.0.0/8 -p tcp -m tcp --dport 80 -j ACCEPT
-s 192.168.3.241/32 -p tcp -m tcp --dport 80 -j ACCEPT
-s 192.168.3.242/32 -p tcp -m tcp --dport 80 -j ACCEPT
-p tcp -m tcp --dport 80 -j DROP
-s 192.168.3.0/24 -p tcp -m tcp --dport 81 -j ACCEPT
-p tcp -m tcp --dport 81 -j DROP
-p tcp -m tcp --dport 82 -j ACCEPT
-p tcp -m tcp --dport 82 -j DROP`
	want6 := `-i lo -j RETURN
-s 2001:db8:3::241/128 -p tcp -m tcp --dport 80 -j ACCEPT
-s 2001:db8:3::242/128 -p tcp -m tcp --dport 80 -j ACCEPT
-p tcp -m tcp --dport 80 -j DROP
-s 2001:db8:4::/48 -p tcp -m tcp --dport 81 -j ACCEPT
-s 2001:db8:3::241/128 -p tcp -m tcp --dport 81 -j ACCEPT
-s 2001:db8:3::242/128 -p tcp -m tcp --dport 81 -j ACCEPT
-p tcp -m tcp --dport 81 -j DROP
-p tcp -m tcp --dport 82 -j ACCEPT
-p tcp -m tcp --dport 82 -j DROP`
	if diff := cmp.Diff([]string{want4, want6}, []string{strings.Join(v4[2:], "\n"), strings.Join(v6[2:], "\n")}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestOnePortTwoSources: services with one port on different addresses may have different sources.
func TestOnePortTwoSources(t *testing.T) {
	v4, v6 := chains(t, "virtualIPs: [192.168.3.240, 192.168.3.239, \"2001:db8:3::240\"]\n"+`services:
- {name: a, port: 80, bind: [192.168.3.240, "2001:db8:3::240"], servers: [{address: 10.0.0.1}], allowFrom: [10.0.0.0/8]}
- {name: b, port: 80, bind: 192.168.3.239, servers: [{address: 10.0.0.1}]}
`)
	want := [][]string{{
		"-i lo -j RETURN",
		"-s 10.0.0.0/8 -d 192.168.3.240/32 -p tcp -m tcp --dport 80 -j ACCEPT",
		"-d 192.168.3.240/32 -p tcp -m tcp --dport 80 -j DROP",
		"-d 192.168.3.239/32 -p tcp -m tcp --dport 80 -j ACCEPT",
	}, {
		"-i lo -j RETURN",
		"-d 2001:db8:3::240/128 -p tcp -m tcp --dport 80 -j DROP",
	}}
	if diff := cmp.Diff(want, [][]string{v4[2:], v6[2:]}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestClosedOnOwnAddresses: a service on a virtual IP does not close its port on the host's own address, where a control
// plane has its kube-apiserver.
func TestClosedOnOwnAddresses(t *testing.T) {
	v4, v6 := chains(t, vip46+`services:
- {name: a, port: 6443, bind: 192.168.3.240, servers: [{address: 192.168.3.251}], allowFrom: [10.0.0.0/8]}
- {name: b, port: 443, bind: [192.168.3.240, "2001:db8:3::240"], servers: [{address: 192.168.3.251}], allowFrom: [0.0.0.0/0]}
`)
	want := [][]string{{
		"-i lo -j RETURN",
		"-s 10.0.0.0/8 -d 192.168.3.240/32 -p tcp -m tcp --dport 6443 -j ACCEPT",
		"-d 192.168.3.240/32 -p tcp -m tcp --dport 6443 -j DROP",
		"-d 192.168.3.240/32 -p tcp -m tcp --dport 443 -j ACCEPT",
		"-d 192.168.3.240/32 -p tcp -m tcp --dport 443 -j DROP",
	}, {
		"-i lo -j RETURN",
		"-d 2001:db8:3::240/128 -p tcp -m tcp --dport 443 -j DROP",
	}}
	if diff := cmp.Diff(want, [][]string{v4[2:], v6[2:]}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestOwnPorts: allowFrom applies to the stats page and the metrics if they are not on loopback.
func TestOwnPorts(t *testing.T) {
	const open, own = "-p tcp -m tcp --dport 9000 -j ACCEPT", "proxy: {stats: {address: 192.168.3.241:8404}}\nmetrics: {address: 0.0.0.0:9345}\n"
	const loopback = "proxy: {stats: {address: 127.0.0.1:8404}}\nmetrics: {address: \"[::1]:9345\"}\n"
	const allow = "firewall: {allowFrom: [10.0.0.0/8]}\n"
	closed := []string{"-i lo -j RETURN", "-s 10.0.0.0/8 -p tcp -m tcp --dport 9000 -j ACCEPT", "-p tcp -m tcp --dport 9000 -j DROP"}
	for yaml, want := range map[string][]string{
		own:              {open},
		loopback + allow: closed,
		own + allow: append(closed[:3:3],
			"-s 10.0.0.0/8 -d 192.168.3.241/32 -p tcp -m tcp --dport 8404 -j ACCEPT", "-d 192.168.3.241/32 -p tcp -m tcp --dport 8404 -j DROP",
			"-s 10.0.0.0/8 -p tcp -m tcp --dport 9345 -j ACCEPT", "-p tcp -m tcp --dport 9345 -j DROP"),
	} {
		v4, _ := chains(t, vip4+yaml+oneService)
		if diff := cmp.Diff(want, v4[2:]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", yaml, diff)
		}
	}
}

// TestRulesBeforeHAProxy: if a port is closed to some sources, HAProxy starts only after the rules are loaded.
func TestRulesBeforeHAProxy(t *testing.T) {
	for yaml, want := range map[string]bool{
		oneService: false,
		"firewall: {allowFrom: [10.0.0.0/8]}\n" + oneService:                          true,
		"profile: classic\nfirewall: {allowFrom: [10.0.0.0/8]}\n" + oneService:        true,
		"firewall: {manage: false, allowFrom: [10.0.0.0/8]}\n" + oneService:           false,
		strings.Replace(oneService, "servers", "allowFrom: [10.0.0.0/8], servers", 1): true,
	} {
		spec := parse(t, shortest+vip4+yaml)
		text := ""
		for _, f := range files(t, spec, factsFor(spec, stable)) {
			if f.Path == HAProxyDropIn {
				text = string(f.Data)
			}
		}
		got := strings.Contains(text, "[Unit]\nAfter=rlb-firewall.service\n") &&
			strings.Contains(text, "\nExecStartPre=+/usr/sbin/iptables-restore -w 5 --noflush /var/lib/rlb/rules.v4\n")
		if got != want {
			t.Errorf("%s:\n%s", yaml, text)
		}
	}
}
