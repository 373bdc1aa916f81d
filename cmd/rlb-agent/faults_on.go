//go:build faults

package main

import (
	"fmt"
	"os"

	"rlb.dev/rlb-agent/reconcile/faulty"
	"rlb.dev/rlb-agent/reconcile/host"
)

// effect is the hook around what changes this machine: what RLB_FAULT says. It counts the effects of the whole process.
var effect = func() host.Effect {
	f, err := faulty.Parse(os.Getenv("RLB_FAULT"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "RLB_FAULT:", err)
		os.Exit(exitUsage)
	}
	return f.Effect
}()
