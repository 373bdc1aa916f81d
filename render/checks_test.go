package render_test

import (
	"strings"
	"testing"

	"rlb.dev/rlb-agent/render"
)

const checked = `global
    maxconn 4096
defaults
    retries 6
    timeout connect 3000ms
    timeout client 30000ms
frontend web:in
    bind :9000
    default_backend web
backend web
    balance roundrobin
    option httpchk GET /readyz
    timeout server 1000ms
    http-check expect status 200
    server a 198.51.100.21:6443 check inter 2000ms weight 3
    server b 198.51.100.22:6443 check inter 2000ms
`

func TestSameChecks(t *testing.T) {
	before := render.ParseChecks([]byte(checked))
	for _, edit := range []struct {
		name, from, to string
		a, b           bool // they are checked as before
	}{
		{"nothing", "", "", true, true},
		{"the weight of a server", "weight 3", "weight 0 maxconn 5", true, true},
		{"a frontend, maxconn, timeouts of clients, retries and the balance", "", "", true, true},
		{"a server goes", "    server b 198.51.100.22:6443 check inter 2000ms\n", "", true, false},
		{"a server has another address", "198.51.100.22", "198.51.100.23", true, false},
		{"a server has another port", "198.51.100.22:6443", "198.51.100.22:6444", true, false},
		{"a server has another check", "22:6443 check inter 2000ms", "22:6443 check port 80 inter 2000ms", true, false},
		{"another path", "/readyz", "/healthz", false, false},
		{"another status", "status 200", "status 204", false, false},
		{"another time to connect", "timeout connect 3000ms", "timeout connect 1ms", false, false},
		{"a raw line that nobody knows", "global\n", "global\n    ssl-server-verify required\n", false, false},
		{"another name of the backend", "\nbackend web\n", "\nbackend other\n", false, false},
	} {
		text := strings.Replace(checked, edit.from, edit.to, 1)
		if edit.name == "a frontend, maxconn, timeouts of clients, retries and the balance" {
			text = strings.NewReplacer("maxconn 4096", "maxconn 7", "retries 6", "retries 1", "client 30000ms", "client 1ms",
				":9000", ":9001", "roundrobin", "source", "server 1000ms", "server 2ms").Replace(checked)
		}
		after := render.ParseChecks([]byte(text))
		if a, b := before.Same(after, "web", "a"), before.Same(after, "web", "b"); a != edit.a || b != edit.b {
			t.Errorf("%s: same %t and %t, want %t and %t", edit.name, a, b, edit.a, edit.b)
		}
	}
	if before.Same(before, "web", "nosuch") || before.Same(before, "nosuch", "a") || render.ParseChecks(nil).Same(before, "web", "a") {
		t.Error("what is not there is the same")
	}
}
