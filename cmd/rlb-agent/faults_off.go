//go:build !faults

package main

import "rlb.dev/rlb-agent/reconcile/host"

// effect is the hook around what changes this machine. A build with the tag "faults" puts a test's faults there.
var effect host.Effect
