//go:build faults

package main

import (
	"fmt"
	"os"

	"rlb.dev/rlb-agent/reconcile/faulty"
	"rlb.dev/rlb-agent/reconcile/host"
)

// faults are what RLB_FAULT says; they count the effects of the whole process.
var faults = func() *faulty.Faults {
	f, err := faulty.Parse(os.Getenv("RLB_FAULT"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "RLB_FAULT:", err)
		os.Exit(exitUsage)
	}
	return f
}()

// effects is the host for those who change it, with the faults.
func effects(h host.Host) host.Host { return faults.Around(h) }
