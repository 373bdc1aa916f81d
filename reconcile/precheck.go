package reconcile

import (
	"context"
	"errors"
	"sync"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/render"
)

// precheck looks for what is in the way, while the real programs check: each takes some hundredths of a second.
func (r *run) precheck(ctx context.Context) error {
	var obstacles error
	var looked sync.WaitGroup
	looked.Go(func() { obstacles = Obstacles(ctx, r.Host, r.doc, *r.seen, r.TakeOver) })
	err := r.check(ctx)
	looked.Wait()
	if obstacles != nil {
		return obstacles
	}
	if err != nil {
		return err
	}
	return r.rehearse(ctx)
}

// check asks the real programs before anything that they read changes. Meanwhile it finds what serves now.
func (r *run) check(ctx context.Context) error {
	if !r.seen.ChangesPrograms() {
		return nil
	}
	var base sync.WaitGroup
	base.Go(func() { r.base = r.early.served(ctx, r.Host) })
	err := r.early.check(ctx, r.Host, r.seen.ToCheck())
	base.Wait()   // for the early check too
	r.early = nil // what is installed later is another program
	if refusal := (*host.Refusal)(nil); err != nil && !errors.As(err, &refusal) {
		return &Failure{Err: err}
	}
	return plan.Placed(err, r.doc)
}

// rehearse tries new health checks beside the HAProxy that serves.
func (r *run) rehearse(ctx context.Context) error {
	if !r.seen.ChangesPrograms() {
		return nil
	}
	for _, f := range r.seen.ToCheck() {
		if f.Kind != render.HAProxyConfig {
			continue
		}
		if err := rehearse(ctx, r.Host, r.desired, r.base, r.seen.Running(host.HAProxyUnit, f.Path), f); err != nil { // tried, and did not work
			return &Failure{Err: plan.Placed(err, r.doc), Undone: true}
		}
	}
	return nil
}
