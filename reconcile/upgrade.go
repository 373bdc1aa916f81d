package reconcile

import (
	"context"
	"errors"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/reconcile/state"
)

// upgradeWait is how long the connections of a host have to end before its programs are replaced.
const upgradeWait = time.Minute

// Upgrade brings newer packages in, as one change that is verified and undone like any other. Where this host holds the
// virtual IPs it first hands them to a peer, and waits for up to a minute until its connections have ended, where a move
// can leave them. It is eligible again afterwards, however the upgrade ends. With force that is done also where no peer is
// seen, and then clients notice it. doc is the spec in force.
func (r *Reconciler) Upgrade(ctx context.Context, doc *api.Document, newer []plan.Newer, force bool) (result Result, err error) {
	in, err := r.inForce(ctx, "upgrade")
	if err != nil {
		return Result{}, err
	}
	drained, err := state.Drained(ctx, r.Host)
	if err != nil {
		return Result{}, &Failure{Err: err}
	}
	held, err := in.Held(ctx, r.Host)
	if err != nil {
		return Result{}, &Failure{Err: err}
	}
	if held && !drained {
		wait := time.Duration(0)
		if r.Await != nil && r.canServeOn(ctx, in) == nil {
			wait = upgradeWait
		}
		switch _, drainErr := r.Drain(ctx, doc, false, wait); {
		case drainErr == nil:
			defer func() {
				_, undrain := r.Undrain(context.WithoutCancel(ctx), doc)
				err = errors.Join(err, undrain)
			}()
			if wait > 0 {
				if err := r.Await(ctx); err != nil {
					return Result{}, err
				}
			}
		case !force || !errors.Is(drainErr, ErrNotTaken):
			return Result{}, drainErr
		}
	}
	return r.Once(ctx, plan.Pinned(doc, newer))
}
