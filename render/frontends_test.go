package render

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBinds(t *testing.T) {
	for _, c := range []struct {
		vips, bind string
		want       []string
	}{
		{"192.168.3.240", "*", []string{"bind *:9000"}},
		{"2001:db8::240/64", "*", []string{"bind :::9000 v6only"}},
		{"192.168.3.240, 2001:db8::240", "*", []string{"bind *:9000", "bind :::9000 v6only"}},
		{"2001:db8::240, 192.168.3.240", "*", []string{"bind :::9000 v6only", "bind *:9000"}},
		{"192.168.3.240", "192.168.3.240", []string{"bind 192.168.3.240:9000 transparent"}},
		{"192.168.3.240/24, 192.168.3.239", "192.168.3.239", []string{"bind 192.168.3.239:9000 transparent"}},
		{"192.168.3.240", "192.168.3.241", []string{"bind 192.168.3.241:9000 transparent"}},
		{"2001:db8::240", "2001:db8::240", []string{"bind [2001:db8::240]:9000 transparent"}},
		{"192.168.3.240", "127.0.0.1", []string{"bind 127.0.0.1:9000"}},
		{"192.168.3.240", "::1", []string{"bind [::1]:9000"}},
	} {
		text := rendered(t, HAProxyConfig, "virtualIPs: ["+c.vips+"]\nservices:\n- {name: api, port: 9000, bind: \""+c.bind+
			"\", servers: [{address: 192.168.3.251, port: 6443}]}\n")
		if diff := cmp.Diff(c.want, linesOf(section(t, text, "frontend api"), "bind")); diff != "" {
			t.Errorf("%s on [%s] (-want +got):\n%s", c.bind, c.vips, diff)
		}
	}
}

// TestStatsBind: the host that holds the address serves the stats page, and HAProxy starts on the other hosts too.
func TestStatsBind(t *testing.T) {
	for address, want := range map[string]string{
		"192.168.3.240:8404":   "bind 192.168.3.240:8404 transparent",
		"[2001:db8::240]:8404": "bind [2001:db8::240]:8404 transparent",
		"0.0.0.0:8404":         "bind 0.0.0.0:8404",
		"127.0.0.1:8404":       "bind 127.0.0.1:8404",
	} {
		text := rendered(t, HAProxyConfig, vip4+oneService+"proxy: {stats: {address: '"+address+"'}}\n")
		if diff := cmp.Diff([]string{want}, linesOf(section(t, text, "frontend "+StatsFrontend), "bind")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", address, diff)
		}
	}
}

// TestBindList: a service may listen on several addresses, and on each its clients may speak the PROXY protocol.
func TestBindList(t *testing.T) {
	text := rendered(t, HAProxyConfig, vip4+"services:\n- {name: api, port: 9000, bind: [192.168.3.240, 127.0.0.1], acceptProxyProtocol: true, servers: [{address: 192.168.3.251}]}\n")
	want := []string{"bind 192.168.3.240:9000 transparent accept-proxy", "bind 127.0.0.1:9000 accept-proxy"}
	if diff := cmp.Diff(want, linesOf(section(t, text, "frontend api"), "bind")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestServerNames: services that server names distinguish share one frontend. Names come before wildcards, and wildcards
// of longer domains before those of shorter ones, whatever the order of the spec.
func TestServerNames(t *testing.T) {
	text := rendered(t, HAProxyConfig, vip4+`services:
- {name: rest, port: 443, bind: [192.168.3.240, 127.0.0.1], servers: [{address: 10.0.0.1}], extraFrontend: option tcp-smart-accept}
- {name: other, port: 80, servers: [{address: 10.0.0.1}]}
- name: a
  port: 443
  bind: [127.0.0.1, 192.168.3.240]
  sni: ["*.example.org", "*.a.example.org"]
  servers: [{address: 10.0.0.2}]
  failOpen: true
- {name: b, port: 443, bind: [192.168.3.240, 127.0.0.1], sni: [api.example.org, x.a.example.org], servers: [{address: 10.0.0.3}], timeouts: {server: 1m}}
`)
	want := `frontend rest
    bind 192.168.3.240:443 transparent
    bind 127.0.0.1:443
    option tcp-smart-accept
    tcp-request inspect-delay 5000ms
    tcp-request content accept if { req.ssl_sni -m found }
    use_backend b if { req.ssl_sni -i api.example.org }
    use_backend b if { req.ssl_sni -i x.a.example.org }
    use_backend a:failopen if { req.ssl_sni -m end -i .a.example.org } { nbsrv(a) eq 0 }
    use_backend a if { req.ssl_sni -m end -i .a.example.org }
    use_backend a:failopen if { req.ssl_sni -m end -i .example.org } { nbsrv(a) eq 0 }
    use_backend a if { req.ssl_sni -m end -i .example.org }
    default_backend rest
`
	if diff := cmp.Diff(want, strings.TrimRight(section(t, text, "frontend rest"), "\n")+"\n"); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want = "frontend rest backend rest backend a backend a:failopen backend b frontend other backend other frontend rlb:health"
	var got []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "frontend") || strings.HasPrefix(line, "backend") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestNamesAlone: without a service for all other names, these names lead to no backend.
func TestNamesAlone(t *testing.T) {
	text := rendered(t, HAProxyConfig, vip4+"services:\n- {name: a, port: 443, sni: [a.example.org], servers: [{address: 10.0.0.2}]}\n")
	head := section(t, text, "frontend a")
	if !strings.Contains(head, "use_backend a if { req.ssl_sni -i a.example.org }\n") || strings.Contains(head, "default_backend") {
		t.Error(head)
	}
}
