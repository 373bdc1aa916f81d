//go:build !faults

package main

import (
	"rlb.dev/rlb-agent/reconcile/host"
)

// effects is the host for those who change it. A build with the tag "faults" puts a test's faults around it.
func effects(h host.Host) host.Host { return h }
