package render

import (
	"os"
	"slices"
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

// TestRehearsalWithoutPeers: no line is left that needs one of the sections that are left out.
func TestRehearsalWithoutPeers(t *testing.T) {
	const raw = "defaults\n    email-alert mailers ops\n    email-alert from a@example.org\nmailers ops\n    mailer one 192.0.2.25:25\n" +
		"peers pair\n    peer lb1 192.0.2.21:10000\nbackend web\n    stick-table type ip size 200k peers pair expire 30m\n    stick on src\n" +
		"backend api\n    stick-table type ip size 1k peers pair\n"
	const want = "defaults\nbackend web\n    stick-table type ip size 200k expire 30m \n    stick on src\nbackend api\n    stick-table type ip size 1k \n"
	if got := string(Rehearsal(File{Data: []byte(raw)}, "/tmp/s")); !strings.HasPrefix(got, want+"frontend rlb:rehearsal\n") {
		t.Errorf("got:\n%s", got)
	}
}

// TestRehearsalInTheSandbox: the agent's unit permits each system call of a rehearsal that systemd's @system-service lacks. A
// refused one ends the second HAProxy, and without it a health check that fails everywhere is only found after the reload.
func TestRehearsalInTheSandbox(t *testing.T) {
	config, err := os.ReadFile("testdata/golden/minimal/haproxy.cfg")
	if err != nil {
		t.Fatal(err)
	}
	unit, err := os.ReadFile("../hack/systemd/rlb-agent.service")
	if err != nil {
		t.Fatal(err)
	}
	permitted := func(setting, what string) bool {
		for line := range strings.Lines(string(unit)) {
			if list, found := strings.CutPrefix(line, setting+"="); found && slices.Contains(strings.Fields(list), what) {
				return true
			}
		}
		return false
	}
	changesRoot := strings.Contains(string(Rehearsal(File{Data: config}, "/tmp/s")), "\n    chroot ")
	if changesRoot && !(permitted("SystemCallFilter", "chroot") && permitted("CapabilityBoundingSet", "CAP_SYS_CHROOT")) {
		t.Error("the rehearsal calls chroot(2), which the agent's unit refuses")
	}
}
