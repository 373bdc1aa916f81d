//go:build !faults

// Package effect has the hook around what changes this machine.
package effect

import "rlb.dev/rlb-agent/reconcile/host"

// Hook is nil. A build with the tag "faults" puts a test's faults there.
var Hook host.Effect
