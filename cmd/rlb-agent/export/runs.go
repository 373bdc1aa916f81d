package export

import (
	"sync"
	"time"

	"rlb.dev/rlb-agent/reconcile/status"
)

// runs counts the runs of this process.
type runs struct {
	mu          sync.Mutex
	results     map[status.Outcome]int
	took        [len(durations) + 1]int // runs by duration, see durations; the last counts longer ones
	total       time.Duration
	lastSuccess time.Time
}

// durations are the buckets of the histogram: a run without changes, an edit, an installation.
var durations = [...]time.Duration{50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second,
	2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute}

var outcomes = []status.Outcome{status.Converged, status.Changed, status.Refused, status.RolledBack, status.Failed}

// count counts a run.
func (r *runs) count(result status.Outcome, took time.Duration, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.results == nil {
		r.results = map[status.Outcome]int{}
	}
	r.results[result]++
	r.total += took
	at := 0
	for at < len(durations) && took > durations[at] {
		at++
	}
	r.took[at]++
	if result == status.Converged || result == status.Changed {
		r.lastSuccess = now
	}
}

// expose writes the counters.
func (r *runs) expose(e *exposition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ended := e.family("rlb_reconciles_total", counter, "Runs of the reconciler since the agent's start, by how they ended.")
	for _, result := range outcomes {
		ended.add(float64(r.results[result]), "result", string(result))
	}
	times := e.family("rlb_reconcile_duration_seconds", histogram, "How long runs of the reconciler took.")
	sum := 0
	for i, bound := range durations {
		sum += r.took[i]
		times.addTo("_bucket", float64(sum), "le", number(bound.Seconds()))
	}
	sum += r.took[len(durations)]
	times.addTo("_bucket", float64(sum), "le", "+Inf").addTo("_sum", r.total.Seconds()).addTo("_count", float64(sum))
	if !r.lastSuccess.IsZero() {
		e.family("rlb_reconcile_last_success_timestamp_seconds", gauge, "When a run of the reconciler last ended well.").add(seconds(r.lastSuccess))
	}
}
