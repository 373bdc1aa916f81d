package install

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

var exposure = regexp.MustCompile(`Overall exposure level for rlb-agent.service: ([0-9.]+)`)

// TestUnit: the unit works in its sandbox on Debian 12 and 13, starting from bare hosts. However the daemon ends, it is
// restarted, and no client notices.
func TestUnit(t *testing.T) {
	w := e2e.New(t)
	all := w.Hosts(false, lab.Bookworm, lab.Trixie)
	for _, h := range all {
		h.Shell("apt-get -qq update")
		h.WriteSpec(e2e.Spec(pair.Nodes))
	}
	e2e.StartDaemon(all...)
	a, b := w.Roles(all[0], all[1])
	w.Serves("cp1", "cp2", "cp3")
	pids := func(h *e2e.Host) string {
		h.World.Helper()
		return h.Shell("systemctl show --value -p MainPID haproxy keepalived; systemctl show --value -p InvocationID haproxy keepalived")
	}

	for _, h := range all {
		out := h.Shell("systemd-analyze security rlb-agent --no-pager")
		m := exposure.FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("%s: %s", h.Name(), out)
		}
		t.Logf("%s, systemd %s: exposure %s", h.Name(), strings.Fields(h.Shell("systemctl --version"))[1], m[1])
		if level, err := strconv.ParseFloat(m[1], 64); err != nil || level >= 4 {
			t.Errorf("%s: exposure %s:\n%s", h.Name(), m[1], out)
		}
		// an edit that needs everything: held packages, reloads of both services, the firewall, a regular expression
		h.WriteSpec(strings.Replace(e2e.Spec(pair.Nodes, "firewall: {allowFrom: [198.51.100.0/24]}", "proxy: {retries: 5}"), "port: 9000", "port: 9000\n  extraBackend: ['# acl x path_reg ^/x']", 1))
		w.Eventually("an edit goes live", 20*time.Second, func() bool {
			return h.Succeeds("grep -q 'retries 5' /etc/haproxy/haproxy.cfg && iptables -S RLB-INPUT | grep -q 198.51.100.0/24 && grep -q acl /etc/haproxy/haproxy.cfg")
		})
		if out := h.Shell("journalctl -q -u rlb-agent --no-pager -o cat -p warning"); strings.TrimSpace(out) != "" {
			t.Errorf("%s: the agent complains in its sandbox:\n%s", h.Name(), out)
		}
	}
	w.Serves("cp1", "cp2", "cp3")

	// the ways to end
	before := pids(a) + pids(b)
	for _, end := range []struct{ name, script string }{
		{"restarted", "systemctl restart rlb-agent"},
		{"killed", "systemctl kill -s KILL rlb-agent"},
		{"crashed", "systemctl kill -s ABRT rlb-agent"},
		{"stopped and started", "systemctl stop rlb-agent; systemctl start rlb-agent"},
	} {
		w.Judge(end.name, func() (lab.Report, error) {
			report := w.Losses(500*time.Millisecond, func() {
				for _, h := range all {
					last := h.Shell("systemctl show --value -p InvocationID rlb-agent")
					h.Shell(end.script)
					w.Eventually("the agent of "+h.Name()+" is back", 10*time.Second, func() bool {
						return h.Is("active", "rlb-agent", "active") && h.Shell("systemctl show --value -p InvocationID rlb-agent") != last
					})
				}
			})
			return report, e2e.Lossless(report)
		})
	}
	if after := pids(a) + pids(b); after != before {
		t.Errorf("the ends of the agent touched the services: %s became %s", before, after)
	}
	if !a.Active() || b.Active() {
		t.Error("the ends of the agent moved the virtual IP")
	}

	// its fault flag does not outlive it
	b.Shell("systemctl stop rlb-agent; echo 1 > /run/rlb/fault; systemctl start rlb-agent; kill -9 $(systemctl show --value -p MainPID rlb-agent); systemctl stop rlb-agent")
	if !b.FaultFlag(false) {
		t.Error("a fault outlives the agent")
	}

	// the watchdog restarts one that hangs
	b.Shell("mkdir -p /run/systemd/system/rlb-agent.service.d; printf '[Service]\nWatchdogSec=2s\n' > /run/systemd/system/rlb-agent.service.d/fast.conf; systemctl daemon-reload; systemctl start rlb-agent")
	last := b.Shell("systemctl show --value -p InvocationID rlb-agent")
	w.Never("the watchdog restarts a healthy one", 3*time.Second, func() bool { return b.Shell("systemctl show --value -p InvocationID rlb-agent") != last })
	b.Shell("systemctl kill -s STOP rlb-agent")
	w.Eventually("the watchdog restarts it", 10*time.Second, func() bool {
		return b.Is("active", "rlb-agent", "active") && b.Shell("systemctl show --value -p InvocationID rlb-agent") != last
	})

	// stopped while it still has jobs to start, it completes what it has begun
	b.Shell("printf '[Service]\nEnvironment=RLB_FAULT=stop-before:ReloadUnit\nExecStart=\nExecStart=" + e2e.Faulty + "\nWatchdogSec=0\n' > /run/systemd/system/rlb-agent.service.d/fast.conf; systemctl daemon-reload; systemctl restart rlb-agent")
	b.WriteSpec(e2e.Spec(pair.Nodes, "proxy: {retries: 4}"))
	w.Eventually("it stands before the reload", 20*time.Second, func() bool {
		return b.Succeeds("grep -q 'retries 4' /etc/haproxy/haproxy.cfg && grep -q '^State:.*stopped' /proc/$(systemctl show --value -p MainPID rlb-agent)/status")
	})
	b.Shell("systemctl stop --no-block rlb-agent; sleep 0.3; systemctl kill -s CONT rlb-agent")
	start := time.Now()
	w.Eventually("it has ended", 20*time.Second, func() bool { return b.Is("active", "rlb-agent", "inactive") })
	t.Logf("stopped before its own reload, it ended after %v", time.Since(start).Round(time.Millisecond))
	if out := a.Shell("journalctl -u rlb-agent") + b.Shell("journalctl -u rlb-agent"); strings.Contains(out, "context canceled") {
		t.Errorf("an agent that is stopped complains of it:\n%s", out)
	}
	if out := b.Must(pair.Agent, "--once"); !strings.Contains(out, "nothing to do") {
		t.Errorf("it left something to do: %s", out)
	}
}
