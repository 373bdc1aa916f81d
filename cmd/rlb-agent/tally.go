package main

import (
	"sync"
	"time"

	"rlb.dev/rlb-agent/reconcile/status"
)

// tally counts the runs of this process.
type tally struct {
	mu          sync.Mutex
	results     map[status.Outcome]int
	took        [len(durations) + 1]int // runs that took at most that long; the last is of all others
	total       time.Duration
	lastSuccess time.Time
}

// durations are the bounds of the histogram: a run that changes nothing, an edit, an installation.
var durations = [...]time.Duration{50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second,
	2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute}

var outcomes = []status.Outcome{status.Converged, status.Changed, status.Refused, status.RolledBack, status.Failed}

// ran counts a run.
func (t *tally) ran(result status.Outcome, took time.Duration, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.results == nil {
		t.results = map[status.Outcome]int{}
	}
	t.results[result]++
	t.total += took
	at := 0
	for at < len(durations) && took > durations[at] {
		at++
	}
	t.took[at]++
	if result == status.Converged || result == status.Changed {
		t.lastSuccess = now
	}
}

// expose writes the counters.
func (t *tally) expose(e *exposition) {
	t.mu.Lock()
	defer t.mu.Unlock()
	runs := e.family("rlb_reconciles_total", counter, "Runs of the reconciler since the agent's start, by how they ended.")
	for _, result := range outcomes {
		runs.add(float64(t.results[result]), "result", string(result))
	}
	times := e.family("rlb_reconcile_duration_seconds", histogram, "How long runs of the reconciler took.")
	sum := 0
	for i, bound := range durations {
		sum += t.took[i]
		times.addTo("_bucket", float64(sum), "le", number(bound.Seconds()))
	}
	sum += t.took[len(durations)]
	times.addTo("_bucket", float64(sum), "le", "+Inf").addTo("_sum", t.total.Seconds()).addTo("_count", float64(sum))
	if !t.lastSuccess.IsZero() {
		e.family("rlb_reconcile_last_success_timestamp_seconds", gauge, "When a run of the reconciler last ended well.").add(seconds(t.lastSuccess))
	}
}
