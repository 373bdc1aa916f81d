package render

import (
	"strings"
	"testing"
)

func TestRehearsal(t *testing.T) {
	const config = `# header
global
    log /dev/log    local0
    chroot /var/lib/haproxy
    stats socket /run/haproxy/admin.sock mode 660 level admin
    maxconn 4096
    hard-stop-after 4h

defaults
    mode tcp
    log global

frontend web
    bind *:9000
    default_backend web

backend web
    balance roundrobin
    option httpchk GET /readyz
    server a 198.51.100.21:6443 check

frontend rlb:stats
    bind 127.0.0.1:8404
    stats enable
`
	const want = `# header
global
    stats socket /tmp/s mode 600 level user
    chroot /var/lib/haproxy
    maxconn 4096

defaults
    mode tcp

backend web
    balance roundrobin
    option httpchk GET /readyz
    server a 198.51.100.21:6443 check

frontend rlb:rehearsal
    bind unix@/tmp/s.none mode 600
`
	if got := string(Rehearsal(File{Data: []byte(config)}, "/tmp/s")); got != want {
		t.Errorf("got:\n%s", got)
	}
	// Raw lines cannot make it use a port or socket of the real process either.
	raw := "global\n    log-send-hostname x\n  listen mine\n    bind :80\n    server b 198.51.100.22:80\nbackend web\n    server a 198.51.100.21:80\n"
	got := string(Rehearsal(File{Data: []byte(raw)}, "/tmp/s"))
	if strings.Contains(got, "bind :80") || strings.Contains(got, "server b") || !strings.Contains(got, "server a") {
		t.Errorf("got:\n%s", got)
	}
}
