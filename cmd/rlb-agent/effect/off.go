//go:build !faults

// Package effect has the hook around the calls that change this machine.
package effect

import "rlb.dev/rlb-agent/reconcile/host"

// Hook is nil. A build with the tag "faults" injects a test's faults with it.
var Hook host.Effect
