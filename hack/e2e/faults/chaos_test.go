package faults

import (
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/chaos"
)

// Random faults on a pair under load, one after another and two at once, always the same ones: who holds the virtual IP,
// what clients see, and when the pair is right again, each within its bound. "make chaos" makes others, for longer.
func TestChaos(t *testing.T) {
	lab.Require(t)
	lab.RequireRelease(t.Context(), t, lab.Trixie)
	report, err := chaos.Run(t.Context(), chaos.Options{
		Agent: e2e.AgentBinary(), Unit: "../../systemd/rlb-agent.service", Duration: 3 * time.Minute, Seed: 12, Log: t.Logf,
	})
	t.Log("\n" + report)
	if err != nil {
		t.Fatal(err)
	}
}
