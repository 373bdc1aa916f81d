package reconcile

import (
	"context"
	"errors"
	"sync"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/render"
)

// precheck looks for obstacles while the real programs check their files: each takes some hundredths of a second.
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

// check lets the real programs check their files before these files change. Meanwhile it takes the baseline.
func (r *run) check(ctx context.Context) error {
	if !r.seen.ChangesPrograms() {
		return nil
	}
	var base sync.WaitGroup
	base.Go(func() { r.base = r.early.served(ctx, r.Host) })
	err := r.early.check(ctx, r.Host, r.seen.ToCheck())
	base.Wait()   // also waits for the early check
	r.early = nil // a program that is installed later is a different one
	if refusal := (*host.Refusal)(nil); err != nil && !errors.As(err, &refusal) {
		return &Failure{Err: err}
	}
	return plan.Placed(err, r.doc)
}

// rehearse tries new health checks in a second HAProxy beside the serving one.
func (r *run) rehearse(ctx context.Context) error {
	if !r.seen.ChangesPrograms() {
		return nil
	}
	for _, f := range r.seen.ToCheck() {
		if f.Kind != render.HAProxyConfig {
			continue
		}
		if err := rehearse(ctx, r.Host, r.Log, r.desired, r.base, r.seen.Running(host.HAProxyUnit, f.Path), f); err != nil { // tried, and failed
			return &Failure{Err: plan.Placed(err, r.doc), Undone: true}
		}
	}
	return nil
}
