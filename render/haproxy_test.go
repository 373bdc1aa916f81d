package render

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestServers(t *testing.T) {
	const standard = " inter 2000ms rise 2 fall 3 fastinter 25ms on-marked-down shutdown-sessions"
	for _, c := range []struct{ server, more, want string }{
		{"{address: 192.168.3.251}", "", "server server1 192.168.3.251:80 check" + standard},
		{"{name: a.b_c-1, address: 192.168.3.251, port: 81}", "", "server a.b_c-1 192.168.3.251:81 check" + standard},
		{"{address: 192.168.3.251, port: 6443}", "", "server server1 192.168.3.251:6443 check check-ssl verify none" + standard},
		{`{address: "2001:DB8:0::1"}`, "", "server server1 [2001:db8::1]:80 check" + standard},
		{"{address: 10.0.0.1, weight: 0}", "", "server server1 10.0.0.1:80 check" + standard + " weight 0"},
		{"{address: 10.0.0.1, weight: 256, backup: true, maxConnections: 7}", "",
			"server server1 10.0.0.1:80 check" + standard + " weight 256 maxconn 7 backup"},
		{"{address: 10.0.0.1}", "healthCheck: {type: none}", "server server1 10.0.0.1:80"},
		{"{address: 10.0.0.1}", "healthCheck: {type: http}", "server server1 10.0.0.1:80 check" + standard},
		{"{address: 10.0.0.1}", "healthCheck: {type: https, caFile: /etc/ca.crt, interval: 1m, rise: 5, fall: 9}",
			"server server1 10.0.0.1:80 check check-ssl verify required ca-file /etc/ca.crt inter 60000ms rise 5 fall 9 fastinter 58000ms on-marked-down shutdown-sessions"},
		{"{address: 10.0.0.1}", "healthCheck: {interval: 500ms, timeout: 1s}",
			"server server1 10.0.0.1:80 check inter 500ms rise 2 fall 3 fastinter 6ms on-marked-down shutdown-sessions"},
		{"{address: cp1.example.org}", "",
			"server server1 cp1.example.org:80 check" + standard + " init-addr last,libc,none resolvers rlb resolve-prefer ipv4"},
	} {
		text := rendered(t, HAProxyConfig, "virtualIPs: [192.168.3.240]\nservices:\n- name: web\n  port: 80\n  servers: ["+c.server+"]\n  "+c.more+"\n")
		if diff := cmp.Diff([]string{c.want}, linesOf(section(t, text, "backend web"), "server")); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", c.server, c.more, diff)
		}
	}
}

func TestHealthChecks(t *testing.T) {
	for check, want := range map[string][]string{
		"{type: none}": nil,
		"{type: tcp}":  {"timeout check 2000ms"},
		"{type: http, path: '/a?b=%20', timeout: 5s}": {"option httpchk GET /a?b=%20", "timeout check 5000ms", "http-check expect status 200"},
		"{type: https, expectStatus: [200, 401]}":     {"option httpchk GET /readyz", "timeout check 2000ms", "http-check expect error-status L7OKC status 200,401"},
		"{type: https, path: /primary, method: HEAD}": {"option httpchk HEAD /primary", "timeout check 2000ms", "http-check expect status 200,401"},
		"{type: http, host: a.example.org, cutAfter: 1s}": {"option httpchk GET /readyz HTTP/1.1", "timeout check 2000ms",
			"http-check send hdr Host a.example.org", "http-check expect error-status L7OKC status 200"},
	} {
		text := rendered(t, HAProxyConfig, "virtualIPs: [192.168.3.240]\nservices:\n- name: web\n  port: 80\n  servers: [{address: 10.0.0.1}]\n  healthCheck: "+check+"\n")
		var got []string
		for line := range strings.Lines(section(t, text, "backend web")) {
			if strings.Contains(line, "chk") || strings.Contains(line, "check") && !strings.Contains(line, "server ") {
				got = append(got, strings.TrimSpace(line))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", check, diff)
		}
	}
}

// TestClassicChecks: with the profile classic, a service can still have another health check.
func TestClassicChecks(t *testing.T) {
	text := rendered(t, HAProxyConfig, "profile: classic\nvirtualIPs: [192.168.3.240]\nservices:\n- name: api\n  port: 80\n  servers: [{address: 10.0.0.1}]\n  healthCheck: {type: https, timeout: 1s}\n")
	want := "backend api\n    balance roundrobin\n    option redispatch\n    option httpchk GET /readyz\n    timeout check 1000ms\n" +
		"    http-check expect status 200\n    server server1 10.0.0.1:80 check check-ssl verify none inter 3000ms rise 30 fall 3\n"
	if diff := cmp.Diff(want, section(t, text, "backend api")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestExtraLines(t *testing.T) {
	const yaml = `
virtualIPs: [192.168.3.240, 2001:db8::240]
vrrp: {extraInstance: "garp_master_delay 2\nlvs_sync_daemon_x"}
services:
- name: api
  port: 80
  servers: [{address: 10.0.0.1}]
proxy:
  extraGlobal: nbthread 2
  extraDefaults: option splice-auto
`
	text := rendered(t, HAProxyConfig, yaml)
	for head, want := range map[string]string{
		"global":   "    nbthread 2\n",
		"defaults": "    option splice-auto\n",
	} {
		if got := strings.TrimRight(section(t, text, head), "\n") + "\n"; !strings.HasSuffix(got, want) {
			t.Errorf("%s does not end with %q:\n%s", head, want, got)
		}
	}
	text = rendered(t, KeepalivedConfig, yaml)
	if n := strings.Count(text, "    garp_master_delay 2\n    lvs_sync_daemon_x\n}\n"); n != 2 {
		t.Errorf("extra lines in %d instances:\n%s", n, text)
	}
}
