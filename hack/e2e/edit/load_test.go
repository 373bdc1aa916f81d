package edit

import (
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
)

// TestEditUnderLoad: an edit takes effect without a failed connection.
func TestEditUnderLoad(t *testing.T) {
	w := e2e.New(t)
	active, standby := w.Pair(e2e.TwoServers(), lab.Trixie, lab.Trixie)
	w.Serves("cp1", "cp2")
	w.Judge("an edit", func() (lab.Report, error) {
		for _, h := range []*e2e.Host{standby, active} {
			h.Apply(e2e.TwoServers())
		}
		report := w.Losses(time.Second, func() {
			standby.Apply(e2e.Spec())
			active.Apply(e2e.Spec())
			w.Serves("cp3")
		})
		return report, e2e.Lossless(report)
	})
	if !active.Active() || standby.Active() {
		t.Error("the edit moved the virtual IP")
	}
}
