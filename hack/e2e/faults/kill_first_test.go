package faults

import (
	"fmt"
	"testing"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// TestKilledInFirstRunAndTeardown: the agent is killed at effects (see chosen) of a first run, and of a teardown that
// leaves the packages, on hosts that had the packages and configurations of their own. The next run, or teardown,
// finishes; then the host has the right state.
func TestKilledInFirstRunAndTeardown(t *testing.T) {
	w := e2e.New(t)
	const parts = 4
	hosts := w.Hosts(true, lab.Trixie, lab.Trixie, lab.Trixie, lab.Trixie)
	points := make(chan [2]int, parts)
	t.Run("hosts", func(t *testing.T) {
		for part, h := range hosts {
			t.Run(h.Name(), func(t *testing.T) {
				t.Parallel()
				h := h.In(t)
				h.WriteSpec(h.OwnVIP(e2e.Spec()))
				bare := h.State()
				teardown := func() {
					if code, out := h.RunAgent("teardown", "--keep-packages"); code != 0 {
						t.Fatalf("teardown: exit code %d\n%s", code, out)
					}
				}
				h.Must(pair.Agent, "--once")
				there := h.State()
				teardown()
				same := func(at, have, want string) {
					if have != want {
						t.Fatalf("after %s the host is not as without a kill:\n%s", at, e2e.Difference(want, have))
					}
				}
				same("a teardown", h.State(), bare)
				first := killing{h: h, args: []string{"--once"}, shard: part, shards: parts, after: func(at string) {
					h.Converges(at)
					same(at, h.State(), there)
				}}
				last := killing{h: h, args: []string{"teardown", "--keep-packages"}, shard: part, shards: parts, after: func(at string) {
					teardown()
					same(at, h.State(), bare)
				}}
				// each leaves the state in which the other begins
				firsts, lasts := first.points(), last.points()
				for i := range max(len(firsts), len(lasts)) {
					if i < len(firsts) {
						first.at(firsts[i])
					} else {
						h.Must(pair.Agent, "--once")
					}
					if i < len(lasts) {
						last.at(lasts[i])
					} else {
						teardown()
					}
				}
				first.noMore()
				last.noMore()
				points <- [2]int{len(firsts), len(lasts)}
			})
		}
	})
	close(points)
	var sum [2]int
	for p := range points {
		sum[0] += p[0]
		sum[1] += p[1]
	}
	e2e.Row(t, fmt.Sprintf("agent killed at %d points of a first run", sum[0]), lab.Report{}, "killed", "converged, the host the same as without a kill")
	e2e.Row(t, fmt.Sprintf("agent killed at %d points of a teardown", sum[1]), lab.Report{}, "killed", "teardown finished, the host as before the first run")
}
