//go:build faults

package effect

import (
	"fmt"
	"os"

	"rlb.dev/rlb-agent/reconcile/faulty"
	"rlb.dev/rlb-agent/reconcile/host"
)

// Hook is the hook around what changes this machine: what RLB_FAULT says. It counts the effects of the whole process.
var Hook = func() host.Effect {
	f, err := faulty.Parse(os.Getenv("RLB_FAULT"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "RLB_FAULT:", err)
		os.Exit(2)
	}
	return f.Effect
}()
