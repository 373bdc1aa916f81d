package e2e

import (
	"fmt"
	"strings"
	"testing"

	"rlb.dev/rlb-agent/hack/lab"
)

// twoServers is specOf without the third control plane.
func twoServers(more ...string) string {
	return strings.Replace(specOf(more...), "  - {name: cp3, address: 198.51.100.23, port: 6443}\n", "", 1)
}

// moreRetries is specOf with one thing changed that HAProxy reads only in a reload.
func moreRetries() string { return specOf("proxy: {retries: 7}") }

// The agent of the host that serves is killed at every effect of an edit and of a rollback. No client sees it.
func TestKilledWhileServing(t *testing.T) {
	w := newWorld(t)
	active, _ := w.pair(specOf(), lab.Trixie, lab.Trixie)
	specs := []string{moreRetries(), specOf()}
	for i := range 12 { // so many that the oldest generations go
		active.apply(specs[i%2])
	}
	w.serves("cp1", "cp2", "cp3")
	nothing, done := 0, 0
	after := func(at string) {
		if first := active.converges(at); strings.Contains(first, "nothing to do") {
			nothing++
		} else {
			done++
		}
	}

	stop := w.steady("killed in an edit")
	turn := 0
	edits := (&killing{h: active, args: []string{"--once"}, after: after, before: func() {
		active.writeSpec(specs[turn%2])
		turn++
	}}).all()
	row(t, fmt.Sprintf("agent killed at %d points of an edit", edits), stop(), "killed", fmt.Sprintf("converged: %d had steps left, %d nothing", done, nothing))

	nothing, done = 0, 0
	stop = w.steady("killed in a rollback")
	rollbacks := (&killing{h: active, args: []string{"rollback"}, sparse: true, after: after, before: func() {}}).all()
	row(t, fmt.Sprintf("agent killed at %d points of a rollback", rollbacks), stop(), "killed", fmt.Sprintf("converged: %d had steps left, %d nothing", done, nothing))
	if !active.active() {
		t.Error("the virtual IP moved")
	}
}
