package main

import (
	"errors"
	"testing"
	"time"

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

// TestFollowingTellsOnce: the agent logs a change of a server up to two seconds after HAProxy. events -f prints it once, and
// the next change again.
func TestFollowingTellsOnce(t *testing.T) {
	start := time.Date(2026, 11, 26, 3, 0, 0, 0, time.UTC)
	printed := 0
	b := batch{write: func(events.Event) error { printed++; return nil }, stop: func() {}}
	follow := func(after time.Duration, e host.JournalEntry) {
		e.Time = start.Add(after)
		b.entries = []host.JournalEntry{e}
		b.flush()
	}
	down := host.JournalEntry{Unit: host.HAProxyUnit, Message: `Server api/cp1 is DOWN, reason: Layer4 timeout, check duration: 2001ms.`}
	follow(0, down)
	follow(1900*time.Millisecond, host.JournalEntry{
		Unit: host.AgentUnit, Message: "service api: server cp1 is down: timeout (L4TOUT)", Priority: 4,
		Fields: map[string]string{"service": "api", "server": "cp1", "state": "DOWN"},
	})
	if printed != 1 {
		t.Errorf("printed %d times", printed)
	}
	if follow(time.Minute, down); printed != 2 {
		t.Errorf("printed %d events, want 2", printed)
	}
	role := func(to string, ms int) host.JournalEntry {
		return host.JournalEntry{Unit: host.KeepalivedUnit, Message: "(HA-CLUSTER) Entering " + to + " STATE", Time: start.Add(time.Hour + time.Duration(ms)*time.Millisecond)}
	}
	for _, entries := range [][]host.JournalEntry{{role("MASTER", 0)}, {role("BACKUP", 700), role("MASTER", 900)}} {
		b.entries = entries
		b.flush()
	}
	if printed != 5 {
		t.Errorf("printed %d events, want 5: the role changed three times", printed)
	}
}
