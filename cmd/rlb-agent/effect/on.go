//go:build faults

package effect

import (
	"fmt"
	"os"

	"rlb.dev/rlb-agent/reconcile/faulty"
	"rlb.dev/rlb-agent/reconcile/host"
)

// Hook injects the faults of RLB_FAULT into the calls that change this machine. It counts the calls of the whole
// process.
var Hook = func() host.Effect {
	f, err := faulty.Parse(os.Getenv("RLB_FAULT"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "RLB_FAULT:", err)
		os.Exit(2)
	}
	return f.Effect
}()
