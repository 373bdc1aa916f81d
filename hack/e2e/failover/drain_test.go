package failover

import (
	"errors"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// TestDrain: a planned handover fails no connection and persists over restarts and boots. It is refused if no host
// takes over.
func TestDrain(t *testing.T) {
	w := e2e.New(t)
	active, standby := w.Pair(e2e.Spec(pair.Nodes), lab.Trixie, lab.Bookworm)
	e2e.StartDaemon(active, standby)
	drained := func(h *e2e.Host) bool {
		s, _ := h.Status()
		return s.Drained
	}

	for range 3 {
		w.Judge("drain", func() (lab.Report, error) {
			report := w.Losses(500*time.Millisecond, func() { active.Shell(pair.Agent + " drain") })
			t.Logf("drain: gap %v, %d failed", report.Gap, report.Failed)
			if !standby.Active() || active.Active() || !drained(active) || drained(standby) {
				t.Fatal("drained, but the virtual IP is not with the peer")
			}
			active.Shell(pair.Agent + " undrain")
			w.Never("undrain moves the virtual IP", 600*time.Millisecond, func() bool { return active.Active() })
			active, standby = standby, active
			return report, errors.Join(e2e.Lossless(report), e2e.Within(report, 100*time.Millisecond))
		})
	}

	// a drained host does not take over, whatever happens to the agent and the machine
	standby.Shell(pair.Agent + " drain; systemctl restart rlb-agent keepalived")
	if err := standby.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.Eventually("it is back, and drained", 15*time.Second, func() bool {
		return standby.Is("active", "keepalived", "active") && standby.Is("active", "haproxy", "active") && drained(standby)
	})
	w.Judge("a drain that nobody answers", func() (lab.Report, error) {
		report := w.Probe(time.Second, func() {
			if out, err := active.Run(t.Context(), pair.Agent, "drain"); err == nil || !strings.Contains(err.Error(), "although peers answer") {
				t.Errorf("the last host was drained: %s %v", out, err)
			}
		})
		w.Eventually("the last host takes the virtual IP back", 5*time.Second, func() bool { return active.Active() && !drained(active) })
		return report, e2e.Within(report, 2*time.Second)
	})
	if standby.Active() {
		t.Error("a drained host holds the virtual IP")
	}
	standby.Crash()
	if out, err := active.Run(t.Context(), pair.Agent, "drain"); err == nil || !strings.Contains(err.Error(), "none of its peers") {
		t.Errorf("drained without a peer: %s %v", out, err)
	}
	if !active.Active() {
		t.Error("a refused drain moved the virtual IP")
	}
	active.Shell(pair.Agent + " drain --force")
	w.Eventually("forced, it leaves", 5*time.Second, func() bool { return !active.Active() })
	active.Shell(pair.Agent + " undrain")
	w.Serves("cp1", "cp2", "cp3")

	// classic has no tracked file
	active.Apply(e2e.Spec(pair.Nodes, e2e.Classic))
	active.Shell("systemctl stop rlb-agent; " + pair.Agent + " drain --force")
	if err := active.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !active.Is("active", "keepalived", "inactive") || !active.Is("active", "haproxy", "active") {
		t.Error("drained with classic, keepalived runs again after a boot")
	}
	active.Shell(pair.Agent + " undrain")
	w.Serves("cp1")
}
