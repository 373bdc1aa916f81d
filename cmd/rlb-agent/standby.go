package main

import (
	"context"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/reconcile/state"
)

// standbyFirst is how long the host that holds the virtual IPs lets its peer go first.
const standbyFirst = 3 * time.Second

// turn is an edit of the virtual router that waits for its turn.
type turn struct {
	digest string // of the spec
	at     time.Time
}

// notYet is how long to wait with an edit, so that of two hosts which get it at the same time the standby is changed
// first: what goes wrong then goes wrong where nobody is served. Edits of other things, and who asks, do not wait.
func (k *keeper) notYet(ctx context.Context, why cause, doc *api.Document) time.Duration {
	if why.asked || why.started {
		return 0
	}
	if k.turn.digest == doc.Digest {
		return max(0, time.Until(k.turn.at))
	}
	in, err := state.ReadInForce(ctx, k.host)
	if err != nil || in == nil {
		return 0
	}
	if held, err := in.Held(ctx, k.host); err != nil || !held {
		return 0
	}
	look, err := plan.FactFinder{Observer: k.host}.Look(ctx, &doc.Spec)
	if err != nil || !look.ChangesRouter() {
		return 0
	}
	k.turn = turn{doc.Digest, time.Now().Add(standbyFirst)}
	return standbyFirst
}
