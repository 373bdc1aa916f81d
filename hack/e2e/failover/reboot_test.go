package failover

import (
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// A host comes back from a reboot without the agent: port open, services up, part of the pair.
func TestReboot(t *testing.T) {
	w := e2e.New(t)
	closed := "#!/bin/sh\niptables -P INPUT DROP\niptables -A INPUT -p icmp -j ACCEPT\niptables -A INPUT -m state --state ESTABLISHED,RELATED -j ACCEPT\nexit 0\n"
	hosts := w.Hosts(true, lab.Trixie, lab.Trixie)
	for _, h := range hosts {
		if err := h.WriteFile("/etc/rc.local", []byte(closed), 0o755); err != nil {
			t.Fatal(err)
		}
		h.Shell("/etc/rc.local")
		h.Apply(e2e.Spec())
	}
	active, standby := w.Roles(hosts[0], hosts[1])
	w.Serves("cp1", "cp2", "cp3")

	report := w.Probe(time.Second, func() {
		if err := active.Reboot(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("reboot of the active host: gap %v", report.Gap)
	w.Eventually("services up after the reboot", 10*time.Second, func() bool {
		return active.Is("active", "haproxy", "active") && active.Is("active", "keepalived", "active") && active.Is("active", "rc-local", "active")
	})
	w.Never("fail-back, or two holders", 4*time.Second, func() bool { return active.Active() || !standby.Active() })
	if out := active.Must("iptables", "-S"); !e2e.InOrder(out, "-P INPUT DROP", "-A INPUT -j RLB-INPUT", "--dport 9000 -j ACCEPT") {
		t.Errorf("rules after the reboot:\n%s", out)
	}
	standby.Must("systemctl", "stop", "keepalived")
	w.Eventually("the rebooted host takes over", 5*time.Second, active.Active)
	w.Serves("cp1", "cp2", "cp3")
	if out := active.Must(pair.Agent, "--once"); !strings.Contains(out, "nothing to do") {
		t.Errorf("a run after the reboot: %s", out)
	}
}
