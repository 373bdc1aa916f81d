package render

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestBackend: a backend has the settings of the service, then the user's own lines, then the checks and servers that
// these lines may affect.
func TestBackend(t *testing.T) {
	text := rendered(t, HAProxyConfig, vip4+`services:
- name: web
  port: 80
  servers: [{address: 10.0.0.1}, {address: 10.0.0.2, port: 81, weight: 0, backup: true, maxConnections: 9}]
  sendProxyProtocol: v2
  timeouts: {connect: 1s, client: 2s, server: 3s, tunnel: 1h}
  healthCheck: {type: https, port: 81, host: x.example.org, path: /primary, cutAfter: 5s}
  failOpen: true
  extraFrontend: ["option tcp-smart-accept", "# note"]
  extraBackend: ["http-check connect default", "option http-keep-alive", "option httpchk HEAD /", "timeout check 9s", "option redis-check", "acl x always_true"]
  extraServer: slowstart 30s weight 7
`)
	for head, want := range map[string]string{
		"frontend web": `    bind *:80
    timeout client  2000ms
    option tcp-smart-accept
    # note
    use_backend web:failopen if { nbsrv(web) eq 0 }
    default_backend web
`,
		"backend web": `    balance roundrobin
    option redispatch
    timeout connect 1000ms
    timeout server  3000ms
    timeout tunnel  1h
    option httpchk GET /primary HTTP/1.1
    timeout check 2000ms
    http-check connect default
    option http-keep-alive
    option httpchk HEAD /
    timeout check 9s
    option redis-check
    acl x always_true
    http-check send hdr Host x.example.org
    http-check expect error-status L7OKC status 200,401
    server server1 10.0.0.1:80 check port 81 check-ssl verify none check-sni x.example.org inter 2000ms rise 2 fall 3 fastinter 25ms on-marked-down shutdown-sessions send-proxy-v2 slowstart 30s weight 7
    server server2 10.0.0.2:81 check check-ssl verify none check-sni x.example.org inter 2000ms rise 2 fall 3 fastinter 25ms on-marked-down shutdown-sessions check-send-proxy send-proxy-v2 weight 0 maxconn 9 backup slowstart 30s weight 7
`,
		"backend web:failopen": `    balance roundrobin
    option redispatch 1
    timeout connect 1000ms
    timeout server  3000ms
    timeout tunnel  1h
    option http-keep-alive
    acl x always_true
    server server1 10.0.0.1:80 send-proxy-v2 slowstart 30s weight 7
    server server2 10.0.0.2:81 send-proxy-v2 weight 0 maxconn 9 slowstart 30s weight 7
`,
	} {
		_, got, _ := strings.Cut(strings.TrimRight(section(t, text, head+"\n"), "\n")+"\n", "\n")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", head, diff)
		}
	}
}

// TestCheckSteps: a send step follows a raw connect step, as HAProxy requires, unless a raw line already has one.
func TestCheckSteps(t *testing.T) {
	const connect, send, expect = "http-check connect port 8008", "http-check send", "http-check expect status 200,401"
	for _, test := range []struct {
		raw, more string
		want      []string
	}{
		{"[http-check connect port 8008]", "", []string{connect, send, expect}},
		{"[http-check connect port 8008, fullconn 10]", "", []string{connect, send, expect}},
		{"[http-check connect port 8008]", ", host: x.example.org", []string{connect, send + " hdr Host x.example.org", expect}},
		{"[http-check connect port 8008, http-check send uri /x]", "", []string{connect, send + " uri /x", expect}},
		{"[http-check connect, http-check send uri /x, http-check expect status 200, http-check connect port 8008]", "",
			[]string{"http-check connect", send + " uri /x", "http-check expect status 200", connect, send, expect}},
		{"[http-check send uri /x]", "", []string{send + " uri /x", expect}},
		{"[fullconn 10]", "", []string{expect}},
	} {
		text := rendered(t, HAProxyConfig, vip4+"services:\n- {name: web, port: 80, servers: [{address: 10.0.0.1}], healthCheck: {type: http, expectStatus: [200, 401]"+
			test.more+"}, extraBackend: "+test.raw+"}\n")
		if diff := cmp.Diff(test.want, linesOf(section(t, text, "backend web\n"), "http-check")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.raw, diff)
		}
	}
}

// TestFailOpenUnchecked: servers that get their checks from default-server have no checks in the fail-open backend.
func TestFailOpenUnchecked(t *testing.T) {
	const service = "services:\n- {name: web, port: 80, servers: [{address: 10.0.0.1}], failOpen: true%s}\n%s"
	for _, yaml := range []string{
		fmt.Sprintf(service, ", extraBackend: default-server check inter 1s", ""),
		fmt.Sprintf(service, "", "proxy: {extraDefaults: default-server check inter 1s}\n"),
	} {
		text := rendered(t, HAProxyConfig, vip4+yaml)
		if got := linesOf(section(t, text, "backend web:failopen"), "server"); got[0] != "server server1 10.0.0.1:80 no-check" {
			t.Errorf("%s\n%s", yaml, got)
		}
	}
}

// TestOlderChecks: for an older HAProxy, directives have their older form or are left out.
func TestOlderChecks(t *testing.T) {
	spec := parse(t, shortest+vip4+"services:\n- {name: web, port: 80, servers: [{address: 10.0.0.1}], healthCheck: {type: https, host: x.example.org, cutAfter: 1m}}\n")
	for version, want := range map[Version]string{
		"1.8.19-1": `option httpchk GET /readyz HTTP/1.1\r\nHost:\ x.example.org\r\nConnection:\ close;http-check expect rstatus ^(200|401)$`,
		"2.2.9-2":  "option httpchk GET /readyz HTTP/1.1;http-check send hdr Host x.example.org;http-check expect status 200,401",
		"2.4.0-1":  "option httpchk GET /readyz HTTP/1.1;http-check send hdr Host x.example.org;http-check expect error-status L7OKC status 200,401",
	} {
		facts := factsFor(spec, stable)
		facts.HAProxyVersion = version
		text := section(t, string(fileOf(t, files(t, spec, facts), HAProxyConfig).Data), "backend web")
		if got := strings.Join(append(linesOf(text, "option httpchk"), linesOf(text, "http-check")...), ";"); got != want {
			t.Errorf("%s: got %s, want %s", version, got, want)
		}
	}
}
