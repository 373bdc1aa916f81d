package faults

import (
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/chaos"
)

// TestChaos: random faults on a pair under load, one after another and two at once, always with the same seed: the
// holder of the virtual IP, the clients, and the time to recover stay within bounds. "make chaos" makes other faults,
// for longer.
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
