package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/reconcile/state"
)

// maxRounds is how often a host is configured in one run until a new plan is empty. More than one is needed only
// where somebody else changes the host at the same time.
const maxRounds = 3

// Reconciler makes a host what a spec says.
type Reconciler struct {
	Host   host.Host
	Log    *slog.Logger
	Note   *slog.Logger    // for what the journal has to have where Log is a terminal's; nil is Log
	Step   func(plan.Step) // told of each step before it is done; may be nil
	Rejoin []string        // the command that waits for a peer to leave the former virtual router, with its absolute path
	By     string          // who asked for it, for the history
	Keeps  bool            // the run keeps the spec that is tried: somebody confirmed it

	// Await waits until the wait that a drain began has ended; nil: Upgrade does not wait for connections.
	Await func(context.Context) error

	TakeOver []string // MACs of machines from which a virtual IP may be taken, as Neighbours tells them

	Reason string      // why a run begins, for the log; may be ""
	Look   *plan.Look  // what was found just now, for the first plan; nil for a look of the run's own
	Early  *EarlyCheck // begun with that look; nil for none
	Repair bool        // the spec is in force already: what somebody changes back meanwhile is for the next run
	Drift  bool        // this agent has brought the spec into force before: what differs was changed by somebody
}

// Result is what a run did.
type Result struct {
	Steps []plan.Step // all that were done
	Plan  plan.Plan   // the first plan
	Look  *plan.Look  // the last one, after everything was done; nil where the run failed
	Began time.Time
	Time  time.Duration // of the whole run
}

// Once reconciles the host with the spec, once. Errors: a *Refusal where HAProxy or keepalived do not take the
// rendered files and nothing was touched; an error that wraps ErrUnavailable where this machine cannot be changed; a
// *Failure for everything else.
func (r *Reconciler) Once(ctx context.Context, doc *api.Document) (Result, error) {
	return r.apply(ctx, doc, forGood)
}

// intent is whether a spec is to stay.
type intent bool

const (
	forGood intent = true
	trial   intent = false // it comes into force, but not into the history
)

func (r *Reconciler) apply(ctx context.Context, doc *api.Document, keep intent) (Result, error) {
	start := time.Now()
	run := run{Reconciler: r, doc: doc, keep: keep, early: r.Early}
	err := run.reconcile(ctx)
	run.early.Wait()
	if err != nil {
		run.seen = nil
	}
	return Result{Look: run.seen, Steps: run.done, Plan: run.first, Began: start, Time: time.Since(start)}, err
}

// run is one call of Once.
type run struct {
	*Reconciler
	doc     *api.Document
	keep    intent
	memory  state.Memory
	was     state.Memory // the memory when the run began
	desired plan.Desired
	plan    plan.Plan
	seen    *plan.Look
	first   plan.Plan
	done    []plan.Step          // steps that were done, in order
	brought []string             // packages that this run installed
	started bool                 // something was touched
	before  map[string]host.File // the files when the run began
	base    baseline             // what served when configuring began
	early   *EarlyCheck          // begun with the first look, or nil
}

func (r *run) reconcile(ctx context.Context) error {
	if err := r.Host.Ready(ctx); err != nil {
		return err
	}
	state.ClearDamaged(ctx, r.Host, r.Log)
	var err error
	if r.memory, err = state.ReadMemory(ctx, r.Host); err != nil {
		return &Failure{Err: err}
	}
	if r.was, err = state.ReadMemory(ctx, r.Host); err != nil {
		return &Failure{Err: err}
	}
	r.warnOfCopy()
	if err := r.look(ctx); err != nil {
		return failedLook(err, r.doc)
	}
	r.first = r.plan
	if err := r.precheck(ctx); err != nil {
		return err
	}
	if len(r.plan.Install) > 0 {
		if err := r.install(ctx); err != nil {
			return r.undo(ctx, err)
		}
	}
	// A request to stop is obeyed before configuring, not in it: between two of its steps the host would be neither as
	// before nor as wanted, and the way back would stop what a moment ago was started. It takes seconds.
	if err := ctx.Err(); err != nil && !r.plan.Empty() {
		return r.undo(ctx, fmt.Errorf("stopped before the step: %v: %w", r.plan.Steps()[0], err))
	}
	ctx = context.WithoutCancel(ctx)
	if err := r.configure(ctx); err != nil {
		return r.undo(ctx, err)
	}
	if err := r.settle(ctx); err != nil { // what cannot be remembered, as on a full disk, is not to be in force
		return r.undo(ctx, err)
	}
	r.tidy(ctx)
	return nil
}

// warnOfCopy says that the memory itself cannot be read.
func (r *run) warnOfCopy() {
	if r.memory.Damage != nil {
		r.Log.Warn("using the copy of what earlier runs remembered", "err", r.memory.Damage)
	}
}

// tidy clears up what is of no use any more. What cannot be, the next run may.
func (r *run) tidy(ctx context.Context) {
	for _, s := range r.plan.Tidy {
		if err := s.Do(ctx, &plan.Tools{Host: r.Host, Memory: &r.memory}); err != nil {
			r.Log.Info("left for the next run: "+s.String(), "err", err)
			continue
		}
		r.Log.Info(s.String())
	}
}

// look finds what is wanted and what is, and plans.
func (r *run) look(ctx context.Context) error {
	look, err := r.freshLook(ctx)
	if err != nil {
		return err
	}
	if len(look.Observed.Unchecked) > 0 {
		return fmt.Errorf("cannot look at %s: %w", look.Observed.Unchecked[0], host.ErrUnavailable)
	}
	r.desired, r.plan, r.seen = look.Desired, look.Plan, &look
	if r.before == nil {
		r.before = look.Observed.Files
	}
	return nil
}

// freshLook is what was found just now, once, and then what is.
func (r *run) freshLook(ctx context.Context) (plan.Look, error) {
	if r.Look != nil && r.seen == nil {
		return *r.Look, nil
	}
	finder := plan.FactFinder{Observer: r.Host}
	if r.seen == nil {
		r.early = &EarlyCheck{}
		finder.Wanted = func(d plan.Desired) { r.early.Start(ctx, r.Host, d) }
	}
	return finder.Look(ctx, &r.doc.Spec)
}

// install does what must come before the rest is known for certain, and then looks and checks again: the programs
// that check come with the packages.
func (r *run) install(ctx context.Context) error {
	if err := r.remember(ctx); err != nil {
		return err
	}
	if err := r.do(ctx, r.plan.Install); err != nil {
		return err
	}
	if err := r.look(ctx); err != nil {
		return err
	}
	if len(r.plan.Install) > 0 {
		return fmt.Errorf("cannot bring the packages into the wanted state: after the installation there is still to do: %v", r.plan.Install[0])
	}
	if err := r.check(ctx); err != nil {
		return err
	}
	return r.rehearse(ctx)
}

// configure does the rest, verifies it, and goes on until there is nothing left to do.
func (r *run) configure(ctx context.Context) error {
	for round := range maxRounds {
		if r.plan.Empty() {
			return nil
		}
		if err := r.remember(ctx); err != nil {
			return err
		}
		steps := r.plan.Configure
		if plan.Serving(steps) && (round > 0 || r.base.up == nil) { // else the check has just looked
			r.base = takeBaseline(ctx, r.Host)
		}
		done := len(r.done)
		if err := r.do(ctx, steps); err != nil {
			return err
		}
		steps = slices.Clone(r.done[done:]) // a reload may have come for others
		if plan.Serving(steps) {
			if err := r.verified(serves(ctx, r.Host, r.desired, r.base, plan.Reloads(steps, host.HAProxyUnit), r.loadSize())); err != nil {
				return plan.Placed(err, r.doc)
			}
			if err := plan.RecordLoaded(ctx, r.Host, steps); err != nil {
				return err
			}
		}
		if err := r.look(ctx); err != nil || r.Repair {
			return err
		}
	}
	if r.plan.Empty() {
		return nil
	}
	return fmt.Errorf("cannot bring the host into the wanted state: somebody else changes it back; still to do: %v", r.plan.Steps()[0])
}

// inStep says in which step something went wrong, unless the error says what could not be done itself.
func inStep(s plan.Step, err error) error {
	if strings.HasPrefix(err.Error(), "cannot ") {
		return err
	}
	return fmt.Errorf("cannot %v: %w", s, err)
}

// told is what the log says of a step, and why it was done. A repair names what somebody changed; the log's handlers do not
// write a reason again with which the text begins.
func (r *run) told(s plan.Step) (text, reason string) {
	if !r.Drift {
		return s.String(), r.Reason
	}
	if found, _, known := strings.Cut(s.Drift, ": "); known {
		return s.Drift, found
	}
	return s.String(), cmp.Or(plan.Found(r.first.Steps()), r.Reason)
}

// do does steps in order. A request to stop is obeyed between two of them.
func (r *run) do(ctx context.Context, steps []plan.Step) error {
	t := &plan.Tools{Host: r.Host, Memory: &r.memory, Rejoin: r.Rejoin}
	defer func() { r.brought = append(r.brought, t.Brought...) }()
	reloaded := false // HAProxy, instead of changes of its running servers
	for _, s := range steps {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("stopped before the step: %v: %w", s, err)
		}
		instead := s.Instead
		if instead != nil && reloaded {
			continue
		}
		if r.Step != nil {
			r.Step(s)
		}
		start := time.Now()
		r.done = append(r.done, s)
		r.started = true
		err := s.Do(context.WithoutCancel(ctx), t)
		if err != nil && instead != nil {
			r.Log.Warn("haproxy does not take it while it runs, a reload does the same", "step", s.String(), "err", err)
			s, reloaded = *instead, true
			r.done[len(r.done)-1] = s
			if r.Step != nil {
				r.Step(s)
			}
			err = s.Do(context.WithoutCancel(ctx), t)
		}
		if err != nil {
			return inStep(s, err)
		}
		text, reason := r.told(s)
		r.Log.Info(text, "step", s.String(), "reason", reason, "took", time.Since(start).Round(time.Millisecond).String())
	}
	return nil
}
