package e2e

import (
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

// A planned hand-over: no connection fails in it, it stays over restarts and boots, and it is refused where nobody
// takes over.
func TestDrain(t *testing.T) {
	w := newWorld(t)
	active, standby := w.pair(specOf(nodes), lab.Trixie, lab.Bookworm)
	withDaemon(active, standby)
	drained := func(h *host) bool {
		out, _ := h.Run(t.Context(), agent, "status", "-o", "json")
		return strings.Contains(out, `"drained": true`)
	}

	for range 3 {
		report := w.probe(500*time.Millisecond, func() { active.sh(agent + " drain") })
		t.Logf("drain: gap %v, %d failed", report.Gap, report.Failed)
		if !standby.active() || active.active() || !drained(active) || drained(standby) {
			t.Fatal("drained, but the virtual IP is not with the peer")
		}
		// what is under way in that millisecond may be lost, no more
		if (report.Gap > 100*time.Millisecond || report.Failed > 2) && report.Late < stall {
			t.Errorf("gap %v, %d failed: %v", report.Gap, report.Failed, report.Errors)
		}
		active.sh(agent + " undrain")
		w.never("undrain moves the virtual IP", 600*time.Millisecond, func() bool { return active.active() })
		active, standby = standby, active
	}

	// drained, it does not take over, whatever becomes of the agent and the machine
	standby.sh(agent + " drain; systemctl restart rlb-agent keepalived")
	if err := standby.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.eventually("it is back, and drained", 15*time.Second, func() bool {
		return standby.is("active", "keepalived", "active") && standby.is("active", "haproxy", "active") && drained(standby)
	})
	report := w.probe(time.Second, func() {
		if out, err := active.Run(t.Context(), agent, "drain"); err == nil || !strings.Contains(err.Error(), "holds back") {
			t.Errorf("the last host was drained: %s %v", out, err)
		}
	})
	if report.Gap > 2*time.Second && report.Late < stall {
		t.Errorf("a drain that nobody answered: gap %v", report.Gap)
	}
	w.eventually("the last host takes the virtual IP back", 5*time.Second, func() bool { return active.active() && !drained(active) })
	if standby.active() {
		t.Error("a drained host holds the virtual IP")
	}
	standby.Crash()
	if out, err := active.Run(t.Context(), agent, "drain"); err == nil || !strings.Contains(err.Error(), "none answers") {
		t.Errorf("drained without a peer: %s %v", out, err)
	}
	if !active.active() {
		t.Error("a refused drain moved the virtual IP")
	}
	active.sh(agent + " drain --force")
	w.eventually("forced, it leaves", 5*time.Second, func() bool { return !active.active() })
	active.sh(agent + " undrain")
	w.serves("cp1", "cp2", "cp3")

	// classic has no tracked file
	active.apply(specOf(nodes, classic))
	active.sh("systemctl stop rlb-agent; " + agent + " drain --force")
	if err := active.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !active.is("active", "keepalived", "inactive") || !active.is("active", "haproxy", "active") {
		t.Error("drained with classic, keepalived runs again after a boot")
	}
	active.sh(agent + " undrain")
	w.serves("cp1")
}
