package daemon

import (
	"context"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/reconcile/state"
)

// standbyFirst is how long the host that holds the virtual IPs lets its peers go first.
const standbyFirst = 3 * time.Second

// turn is an edit of the virtual router that waits for its turn.
type turn struct {
	digest string // of the spec
	at     time.Time
}

// afterStandby is how long to wait with an edit, so that of hosts which get it at the same time the standbys are changed
// first: what goes wrong then goes wrong where nobody is served. Edits of other things, and who asks, do not wait. look is
// what it found on the host, if it looked, and early the check that it began.
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
	unclear := err != nil || len(found.Observed.Unchecked) > 0 // the run says what is wrong
	if !unclear && !found.ChangesRouter() {
		return 0, &found, early
	}
	early.Wait() // the run begins its own
	if unclear {
		return 0, nil, nil
	}
	l.turn = turn{doc.Digest, time.Now().Add(standbyFirst)}
	return standbyFirst, nil, nil
}
