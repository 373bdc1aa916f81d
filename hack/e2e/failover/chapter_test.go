package failover

import (
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
)

// TestChapterOfVerification: the five checks of the original's chapter on verification, on a pair
// from the same file.
func TestChapterOfVerification(t *testing.T) {
	for _, tt := range []struct {
		name                string
		spec                string
		releases            []lab.Release
		keepalived, haproxy time.Duration // the longest gap when it is stopped; without the daemon keepalived's own check must fail three times
	}{
		{"classic", e2e.Spec(e2e.Classic), []lab.Release{lab.Trixie, lab.Trixie}, time.Second, 4 * time.Second},
		{"standard", e2e.Spec(), []lab.Release{lab.Trixie, lab.Trixie}, 200 * time.Millisecond, 4 * time.Second},
		{"standard, Debian 12 and 13", e2e.Spec(), []lab.Release{lab.Bookworm, lab.Trixie}, 200 * time.Millisecond, 4 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := e2e.New(t)
			active, standby := w.Pair(tt.spec, tt.releases...)

			// 1. both run and listen, one holds the virtual IP
			for _, h := range []*e2e.Host{active, standby} {
				if !h.Is("active", "haproxy", "active") || !h.Is("active", "keepalived", "active") {
					t.Fatalf("%s does not run both services", h.Name())
				}
				if out := h.Shell("ss -Hltn sport = :9000"); out == "" {
					t.Fatalf("%s does not listen on port 9000", h.Name())
				}
			}
			w.Serves("cp1", "cp2", "cp3")

			// 2. and 3. keepalived stopped on the active host, and started again: no fail-back
			// 4. and 5. the same for haproxy, on the host that is active then
			for _, unit := range []struct {
				name string
				most time.Duration
			}{{"keepalived", tt.keepalived}, {"haproxy", tt.haproxy}} {
				w.Judge(unit.name+" stopped", func() (lab.Report, error) {
					active, standby = w.Roles(active, standby)
					report := w.Probe(time.Second, func() {
						active.Must("systemctl", "stop", unit.name)
						w.Eventually("the other host takes over", 10*time.Second, func() bool { return standby.Active() && !active.Active() })
					})
					active.Must("systemctl", "start", unit.name)
					w.Never("fail-back", 5*time.Second, func() bool { return active.Active() || !standby.Active() })
					return report, e2e.Within(report, unit.most)
				})
			}
			if out := active.Must("journalctl", "-u", "keepalived", "--no-pager", "-o", "cat"); !e2e.InOrder(out, "Entering FAULT STATE", "Entering BACKUP STATE") {
				t.Errorf("%s did not go through FAULT to BACKUP:\n%s", active.Name(), out)
			}
			w.Serves("cp1", "cp2", "cp3")
		})
	}
}
