package main

import (
	"context"
	"fmt"
	"strings"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host/debian"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/render"
)

// once reconciles the host with the spec, once.
func (a *app) once(ctx context.Context) error {
	return a.changing(ctx, func(ctx context.Context, h *debian.Host) error {
		doc, err := a.trustedSpec()
		if err != nil {
			return err
		}
		if err := noTrial(ctx, h); err != nil {
			return err
		}
		result, err := a.apply(ctx, h, doc)
		if err != nil {
			return err
		}
		a.done(a.spec, result)
		return nil
	})
}

// dryRun prints what once would do.
func (a *app) dryRun(ctx context.Context) error {
	doc, h, look, err := a.look(ctx, a.spec, render.Facts{})
	if err != nil {
		return err
	}
	defer h.Close()
	if h.Ready(ctx) != nil {
		a.log.Warn("not looked at: the programs in vrrp.notify, since this machine is not one of the spec's hosts")
	} else if err := reconcile.HostProblems(ctx, h, doc); err != nil {
		return err
	}
	if err := a.check(ctx, h, look); err != nil {
		return err
	}
	a.unchecked(look)
	steps := look.Plan.Steps()
	for _, s := range look.Plan.Tidy {
		fmt.Fprintf(a.stdout, "to tidy up: %v\n", s)
	}
	if len(steps) == 0 {
		fmt.Fprintf(a.stdout, "nothing to do: this host is as %s says\n", specName(a.spec))
		return nil
	}
	for _, s := range steps {
		fmt.Fprintf(a.stdout, "%v\n", s)
		for line := range strings.Lines(s.Diff()) {
			fmt.Fprint(a.stdout, "    "+line)
		}
	}
	fmt.Fprintf(a.stdout, "%d steps; nothing was changed\n", len(steps))
	return errDifferent
}

// look reads a spec and finds what it wants of this machine, whether or not this is one of its hosts.
func (a *app) look(ctx context.Context, path string, given render.Facts) (*api.Document, *debian.Host, plan.Look, error) {
	doc, err := a.readSpec(path)
	if err != nil {
		return nil, nil, plan.Look{}, err
	}
	a.warnUntrusted(path)
	h, err := a.host()
	if err != nil {
		return nil, nil, plan.Look{}, err
	}
	look, err := plan.FactFinder{Observer: h, Given: given, Assume: h.Ready(ctx) != nil}.Look(ctx, &doc.Spec)
	for _, note := range look.Notes {
		a.log.Warn(note)
	}
	if err != nil {
		h.Close()
		return nil, nil, plan.Look{}, usageError{err}
	}
	return doc, h, look, nil
}

// unchecked says on standard error what could not be looked at.
func (a *app) unchecked(look plan.Look) {
	for _, note := range look.Observed.Unchecked {
		a.log.Warn("not looked at: " + note)
	}
}
