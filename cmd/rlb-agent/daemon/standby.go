package daemon

import (
	"context"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/reconcile/state"
)

// standbyFirst is how long the host that holds the virtual IPs waits for its peer to change first.
const standbyFirst = 3 * time.Second

// turn is an edit of the virtual router that waits for the standby.
type turn struct {
	digest string // of the spec
	at     time.Time
}

// afterStandby returns how long to wait with an edit of the virtual router. If several hosts get the edit at the same
// time, the standbys change first: an error then occurs where no client is served. Other edits do not wait, and neither
// do a start and SIGHUP. look is its look at the host, if it made one; early is the check that it began.
func (l *loop) afterStandby(ctx context.Context, why cause, doc *api.Document) (left time.Duration, look *plan.Look, early *reconcile.EarlyCheck) {
	if why.asked || why.started {
		return 0, nil, nil
	}
	if l.turn.digest == doc.Digest {
		return max(0, time.Until(l.turn.at)), nil, nil
	}
	in, err := state.ReadInForce(ctx, l.host)
	if err != nil || in == nil {
		return 0, nil, nil
	}
	if held, err := in.Held(ctx, l.host); err != nil || !held {
		return 0, nil, nil
	}
	early = &reconcile.EarlyCheck{}
	finder := plan.FactFinder{Observer: l.host, Wanted: func(d plan.Desired) { early.Start(ctx, l.host, d) }}
	found, err := finder.Look(ctx, &doc.Spec)
	unclear := err != nil || len(found.Observed.Unchecked) > 0 // the run will report the error
	if !unclear && !found.ChangesRouter() {
		return 0, &found, early
	}
	early.Wait() // the run begins a check of its own
	if unclear {
		return 0, nil, nil
	}
	l.turn = turn{doc.Digest, time.Now().Add(standbyFirst)}
	return standbyFirst, nil, nil
}
