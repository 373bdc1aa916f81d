package main

import (
	"errors"
	"testing"

	"rlb.dev/rlb-agent/reconcile/events"
	"rlb.dev/rlb-agent/reconcile/host"
)

// TestFollowingEndsWhenNobodyReads: events -f ends when its reader has gone; otherwise journalctl
// would run for ever.
func TestFollowingEndsWhenNobodyReads(t *testing.T) {
	for _, full := range []error{nil, errors.New("no space left on device")} {
		stopped := false
		b := batch{write: func(events.Event) error { return full }, stop: func() { stopped = true }}
		b.entries = []host.JournalEntry{{Unit: host.HAProxyUnit, Message: "Started haproxy.service - HAProxy Load Balancer.", Manager: true}}
		if b.flush(); stopped != (full != nil) {
			t.Errorf("a write that ends with %v: stopped %v", full, stopped)
		}
	}
}
