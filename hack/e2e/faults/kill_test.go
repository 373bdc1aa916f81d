package faults

import (
	"fmt"
	"strings"
	"testing"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
)

// TestKilledWhileServing: the agent of the serving host is killed at effects of an edit and of a rollback (see
// chosen). No client notices.
func TestKilledWhileServing(t *testing.T) {
	w := e2e.New(t)
	active, _ := w.Pair(e2e.Spec(), lab.Trixie, lab.Trixie)
	specs := []string{e2e.MoreRetries(), e2e.Spec()}
	for i := range 12 { // until the oldest generations are removed
		active.Apply(specs[i%2])
	}
	w.Serves("cp1", "cp2", "cp3")
	nothing, done := 0, 0
	after := func(at string) {
		if first := active.Converges(at); strings.Contains(first, "nothing to do") {
			nothing++
		} else {
			done++
		}
	}

	stop := w.Steady("killed in an edit")
	turn := 0
	edits := (&killing{h: active, args: []string{"--once"}, after: after, before: func() {
		active.WriteSpec(specs[turn%2])
		turn++
	}}).all()
	e2e.Row(t, fmt.Sprintf("agent killed at %d points of an edit", edits), stop(), "killed", fmt.Sprintf("converged: %d had steps left, %d nothing", done, nothing))

	nothing, done = 0, 0
	stop = w.Steady("killed in a rollback")
	rollbacks := (&killing{h: active, args: []string{"rollback"}, after: after, before: func() {}}).all()
	e2e.Row(t, fmt.Sprintf("agent killed at %d points of a rollback", rollbacks), stop(), "killed", fmt.Sprintf("converged: %d had steps left, %d nothing", done, nothing))
	if !active.Active() {
		t.Error("the virtual IP moved")
	}
}
