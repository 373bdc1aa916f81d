package e2e

import (
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

// The original's chapter of verification: its five points, on a pair from the same file.
func TestChapterOfVerification(t *testing.T) {
	for _, tt := range []struct {
		name     string
		spec     string
		releases []lab.Release
	}{
		{"classic", specOf(classic), []lab.Release{lab.Trixie, lab.Trixie}},
		{"standard", specOf(), []lab.Release{lab.Trixie, lab.Trixie}},
		{"standard, Debian 12 and 13", specOf(), []lab.Release{lab.Bookworm, lab.Trixie}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			active, standby := w.pair(tt.spec, tt.releases...)

			// 1. both run and listen, one holds the virtual IP
			for _, h := range []*host{active, standby} {
				if !h.is("active", "haproxy", "active") || !h.is("active", "keepalived", "active") {
					t.Fatalf("%s does not run both services", h.Name())
				}
				if out := h.sh("ss -Hltn sport = :9000"); out == "" {
					t.Fatalf("%s does not listen on port 9000", h.Name())
				}
			}
			w.serves("cp1", "cp2", "cp3")

			// 2. keepalived stopped on the active host
			report := w.probe(time.Second, func() {
				active.must("systemctl", "stop", "keepalived")
				w.eventually("the other host takes over", 5*time.Second, func() bool { return standby.active() && !active.active() })
			})
			t.Logf("keepalived stopped: gap %v", report.Gap)

			// 3. started again: no fail-back
			active.must("systemctl", "start", "keepalived")
			w.never("fail-back", 5*time.Second, func() bool { return active.active() || !standby.active() })

			// 4. haproxy stopped on the host that is active now
			active, standby = standby, active
			report = w.probe(time.Second, func() {
				active.must("systemctl", "stop", "haproxy")
				w.eventually("the other host takes over", 10*time.Second, func() bool { return standby.active() && !active.active() })
			})
			t.Logf("haproxy stopped: gap %v", report.Gap)

			// 5. started again: no fail-back
			active.must("systemctl", "start", "haproxy")
			w.never("fail-back", 5*time.Second, func() bool { return active.active() || !standby.active() })
			if out := active.must("journalctl", "-u", "keepalived", "--no-pager", "-o", "cat"); !inOrder(out, "Entering FAULT STATE", "Entering BACKUP STATE") {
				t.Errorf("%s did not go through FAULT to BACKUP:\n%s", active.Name(), out)
			}
			w.serves("cp1", "cp2", "cp3")
		})
	}
}
