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

// maxRounds is how often one run configures a host until the new plan is empty. More than one round is needed only if
// somebody else changes the host at the same time.
const maxRounds = 3

// Reconciler brings a host in line with a spec.
type Reconciler struct {
	Host   host.Host
	Log    *slog.Logger
	Note   *slog.Logger    // for records that the journal must have although Log writes to a terminal; nil: Log is used
	Step   func(plan.Step) // called before each step; may be nil
	Rejoin []string        // the command that waits for a peer to leave the former virtual router, with its absolute path
	By     string          // the user, for the history
	Keeps  bool            // the run makes the spec on trial permanent: a user confirmed it

	// Await waits until the wait that a drain began has ended. nil: Upgrade does not wait for connections.
	Await func(context.Context) error

	TakeOver []string // MACs of machines from which a virtual IP may be taken, as Neighbours returns them

	Reason string      // why the run begins, for the log; may be ""
	Look   *plan.Look  // a recent look for the first plan; nil: the run looks itself
	Early  *EarlyCheck // started with that look; nil for none
	Repair bool        // the spec is already in force: what somebody changes again meanwhile is left to the next run
	Drift  bool        // this agent brought the spec into force before: somebody caused the differences

	upgrades bool // a drain of this run is part of its upgrade
	stays    bool // what is tried has become the spec: by a person, or by a confirm that lost power on its way
}

// Result is what a run did.
type Result struct {
	Steps []plan.Step // all steps that were done
	Plan  plan.Plan   // the first plan
	Look  *plan.Look  // the last look, after everything was done; nil if the run failed
	Began time.Time
	Time  time.Duration // duration of the whole run
}

// Once reconciles the host with the spec, once. Errors: a *Refusal if HAProxy or keepalived refuse the rendered files and
// nothing was changed; an error that wraps ErrUnavailable if this machine cannot be changed; a *Failure for everything
// else.
func (r *Reconciler) Once(ctx context.Context, doc *api.Document) (Result, error) {
	return r.apply(ctx, doc, forGood)
}

// intent says whether a spec becomes permanent.
type intent bool

const (
	forGood intent = true
	trial   intent = false // the spec comes into force, but not into the history
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
	was     state.Memory // the memory at the start of the run
	desired plan.Desired
	plan    plan.Plan
	seen    *plan.Look
	first   plan.Plan
	done    []plan.Step          // steps that were done, in order
	brought []string             // packages that this run installed
	started bool                 // the host was changed
	before  map[string]host.File // the files at the start of the run
	base    baseline             // what served before configuring
	early   *EarlyCheck          // started with the first look, or nil
}

func (r *run) reconcile(ctx context.Context) error {
	if err := r.Host.Ready(ctx); err != nil {
		return err
	}
	state.ClearDamaged(ctx, r.Host, r.Log)
	err := r.EndAbandonedDrain(ctx)
	if err != nil {
		return &Failure{Err: err}
	}
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
	// A request to stop takes effect before configuring, but not during it. Between two steps the host would be neither in
	// the old state nor in the new one, and the undo would stop what has just been started. Configuring takes seconds.
	if err := ctx.Err(); err != nil && !r.plan.Empty() {
		return r.undo(ctx, fmt.Errorf("stopped before the step: %v: %w", r.plan.Steps()[0], err))
	}
	ctx = context.WithoutCancel(ctx)
	if err := r.configure(ctx); err != nil {
		return r.undo(ctx, err)
	}
	if err := r.settle(ctx); err != nil { // a change that cannot be recorded, for example on a full disk, must not stay in force
		return r.undo(ctx, err)
	}
	r.tidy(ctx)
	return nil
}

// warnOfCopy logs that the memory itself cannot be read.
func (r *run) warnOfCopy() {
	if r.memory.Damage != nil {
		r.Log.Warn("cannot read the record of earlier runs: using its copy", "err", r.memory.Damage)
	}
}

// tidy does the steps of Tidy. A step that fails is left to the next run.
func (r *run) tidy(ctx context.Context) {
	for _, s := range r.plan.Tidy {
		if err := s.Do(ctx, &plan.Tools{Host: r.Host, Memory: &r.memory}); err != nil {
			r.Log.Info("left for the next run: "+s.String(), "err", err)
			continue
		}
		r.Log.Info(s.String())
	}
}

// look finds the desired and the observed state, and plans.
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

// freshLook is the given recent look the first time, and a new look after that.
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

// install does the steps on which the rest depends. It then looks and checks again, because the checking programs come with
// the packages.
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
		return fmt.Errorf("cannot bring the packages into the wanted state: after the installation this step is left: %v", r.plan.Install[0])
	}
	if err := r.check(ctx); err != nil {
		return err
	}
	return r.rehearse(ctx)
}

// configure does the rest and verifies it, until there is nothing left to do.
func (r *run) configure(ctx context.Context) error {
	for round := range maxRounds {
		if r.plan.Empty() {
			return nil
		}
		if err := r.remember(ctx); err != nil {
			return err
		}
		steps := r.plan.Configure
		if plan.Serving(steps) && (round > 0 || r.base.up == nil) { // else the check has just taken it
			r.base = takeBaseline(ctx, r.Host)
		}
		done := len(r.done)
		if err := r.do(ctx, steps); err != nil {
			return err
		}
		steps = slices.Clone(r.done[done:]) // a reload may have replaced others
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
	return fmt.Errorf("cannot bring the host into the wanted state: another program or user changes it back; this step is left: %v", r.plan.Steps()[0])
}

// inStep adds the step in which an error happened, unless the error already says what could not be done.
func inStep(s plan.Step, err error) error {
	if strings.HasPrefix(err.Error(), "cannot ") {
		return err
	}
	return fmt.Errorf("cannot %v: %w", s, err)
}

// logText is the text and the reason of a step for the log. In a repair they name what somebody changed. The log's handlers
// omit a reason with which the text already begins.
func (r *run) logText(s plan.Step) (text, reason string) {
	if !r.Drift {
		return s.String(), r.Reason
	}
	if found, _, known := strings.Cut(s.Drift, ": "); known {
		return s.Drift, found
	}
	return s.String(), cmp.Or(plan.Found(r.first.Steps()), r.Reason)
}

// do does steps in order. A request to stop takes effect between two steps.
func (r *run) do(ctx context.Context, steps []plan.Step) error {
	t := &plan.Tools{Host: r.Host, Memory: &r.memory, Rejoin: r.Rejoin}
	defer func() { r.brought = append(r.brought, t.Brought...) }()
	reloaded := false // HAProxy was reloaded instead of changed by the runtime API
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
			r.Log.Warn("haproxy refuses the runtime command: reloading it instead", "step", s.String(), "err", err)
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
		text, reason := r.logText(s)
		r.Log.Info(text, "step", s.String(), "reason", reason, "took", time.Since(start).Round(time.Millisecond).String())
	}
	return nil
}
