package reconcile

import (
	"context"
	"errors"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/reconcile/state"
)

// Upgrade brings newer packages in, as one change that is verified and undone like any other. Where this host holds the
// virtual IPs it first hands them to a peer, and is eligible again afterwards, however it ends; with force also where no
// peer is seen, and then clients notice it. doc is the spec in force.
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
		switch _, drainErr := r.Drain(ctx, doc, false); {
		case drainErr == nil:
			defer func() {
				_, undrain := r.Undrain(context.WithoutCancel(ctx), doc)
				err = errors.Join(err, undrain)
			}()
		case !force || !errors.Is(drainErr, ErrNotTaken):
			return Result{}, drainErr
		}
	}
	return r.Once(ctx, plan.Pinned(doc, newer))
}
