package reconcile

import (
	"context"
	"slices"
	"time"

	"rlb.dev/rlb-agent/reconcile/plan"
)

// Teardown restores the state of the host from before the first run, from the memory. If it is interrupted at any point, a
// further teardown finishes it, because the memory is removed last. With keepPackages, the packages that the agent
// installed stay, as apt left them. If the memory is lost, Teardown does nothing by guess.
func (r *Reconciler) Teardown(ctx context.Context, keepPackages bool) (Result, error) {
	start := time.Now()
	if err := r.Host.Ready(ctx); err != nil {
		return Result{}, err
	}
	run := run{Reconciler: r}
	err := run.teardown(ctx, keepPackages)
	result := Result{Steps: run.done, Plan: run.first, Began: start, Time: time.Since(start)}
	if err != nil {
		return result, &Failure{Err: err}
	}
	return result, nil
}

func (r *run) teardown(ctx context.Context, keepPackages bool) error {
	t, err := plan.PlanTeardown(ctx, r.Host, keepPackages)
	if err != nil {
		return err
	}
	r.memory = t.Memory
	r.warnOfCopy()
	r.first = plan.Plan{Configure: slices.Concat(t.Back, t.Last)}
	if err := r.endTrial(ctx, outcome("torn down", "the load balancer is torn down")); err != nil {
		return err
	}
	now := takeBaseline(ctx, r.Host)
	if err := r.do(ctx, t.Back); err != nil {
		return err
	}
	// nothing is forgotten before it is verified that what ran before runs again
	if err := r.servesAgain(ctx, t.Back, now); err != nil {
		return err
	}
	return r.do(ctx, t.Last)
}
