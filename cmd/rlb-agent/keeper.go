package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/cmd/rlb-agent/filewatch"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/reconcile/state"
)

const (
	firstRetry = 2 * time.Second // pause after a failure that may pass; it doubles each time
	lastRetry  = 5 * time.Minute
	noSpec     = time.Minute // pause where no spec says how long
)

// machine is a host that is changed by one process at a time.
type machine interface {
	host.Host
	Lock(ctx context.Context, timeout time.Duration) (unlock func(), err error)
	// Installing says whether somebody else works with apt or dpkg.
	Installing() bool
}

// keeper remembers between two runs what must not be tried or told again.
type keeper struct {
	*app
	host    machine
	source  func() (*api.Document, error) // reads the spec
	step    func(plan.Step)               // told of each step before it is done; may be nil
	watch   func(plan.Look)               // told what was found on the host, and so what to watch there; may be nil
	refused *refusal                      // the spec that is not tried again, or nil
	told    map[topic]string              // last complaint, said once
	drift   state.DriftRecord             // found and repaired since the boot
	fights  fights                        // what had to be repaired again and again
	retry   time.Duration                 // last pause after a failure
	resting time.Time                     // until when a failed run is not tried again of itself
	read    time.Time                     // when the spec was last read
	looked  time.Time                     // when the host was last looked at
	transit time.Time                     // since when a unit is on its way to another state, or zero
	held    []string                      // what was seen and has to wait
	turn    turn                          // the edit that waits for its turn
}

// topic is what a complaint is about. Each has its own last word.
type topic int

const (
	onLock topic = iota
	onSpec
	onRun
	onDrift
)

// cause is why a run begins.
type cause struct {
	started bool     // the daemon has just started
	asked   bool     // somebody wants it now
	seen    []string // what was seen to change: the spec, files, units …; none at a regular look
}

// edited says whether the spec may have changed.
func (c cause) edited(spec string) bool {
	return slices.ContainsFunc(c.seen, func(what string) bool { return what == spec || what == filewatch.LookedUp })
}

// maxNamed is how many of the things that were seen to change a reason names.
const maxNamed = 3

// drift is the cause of a repair in words.
func (c cause) drift() string {
	switch {
	case c.asked:
		return "drift, found when asked to look"
	case c.started:
		return "drift, found at the agent's start"
	case len(c.seen) > maxNamed:
		return fmt.Sprintf("drift, seen at %s and %d others", strings.Join(c.seen[:maxNamed-1], ", "), len(c.seen)-maxNamed+1)
	case len(c.seen) > 0:
		return "drift, seen at " + strings.Join(c.seen, ", ")
	}
	return "drift, found at the regular look"
}

// keep reconciles where there is a reason to, and says how long to wait for the next look.
func (k *keeper) keep(ctx context.Context, why cause) time.Duration {
	if len(why.seen) == 0 {
		why.seen = k.held
	}
	k.held = nil
	if left := time.Until(k.resting); left > 0 && !why.asked && !why.started && !why.edited(k.spec) {
		return left
	}
	unlock, err := k.host.Lock(ctx, k.lockTimeout)
	if err != nil {
		k.complain(onLock, err.Error())
		return firstRetry
	}
	defer unlock()
	k.good(onLock)
	trial, err := state.RunningTrial(ctx, k.host)
	if err != nil {
		k.complain(onRun, err.Error())
		return noSpec
	}
	if trial != nil && !trial.Over(time.Now()) {
		notify("STATUS=standing still while " + trial.File + " is tried")
		return time.Until(trial.Deadline) + time.Second // a unit ends it; where that fails, this does
	}
	k.read = time.Now()
	doc, err := k.source()
	if err != nil {
		return k.lastGood(ctx, why, err, k.complain(onSpec, message(err)))
	}
	last, err := k.inForceNow(ctx)
	switch {
	case err != nil:
		k.complain(onRun, err.Error())
		return noSpec
	case k.refused.is(doc, last) && !why.asked:
		k.complain(onSpec, k.refused.Error())
		return k.lastGood(ctx, why, k.refused, false)
	case last == doc.Digest && trial == nil && !why.asked && (!why.started || doc.Spec.Reconcile.Drift == api.Report):
		k.good(onSpec)
		return k.lookAfter(ctx, why, doc, nil, true)
	}
	return k.bring(ctx, why, doc, last)
}

// inForceNow is the digest of the spec in force, or "".
func (k *keeper) inForceNow(ctx context.Context) (string, error) {
	history, err := state.History(ctx, k.host)
	if err != nil || len(history) == 0 {
		return "", err
	}
	return history[len(history)-1].Digest, nil
}

// bring brings a spec into force.
func (k *keeper) bring(ctx context.Context, why cause, doc *api.Document, last string) time.Duration {
	if left := k.tooEarly(ctx, doc); left > 0 {
		return left
	}
	if last != "" && last != doc.Digest {
		if left := k.notYet(ctx, why, doc); left > 0 {
			notify("STATUS=letting the peer change its virtual router first")
			return left
		}
	}
	reason := "the spec changed"
	switch last {
	case "":
		reason = "first run"
	case doc.Digest:
		reason = why.drift()
	}
	result, err := k.run(ctx, doc, nil, reason, nil)
	if last == doc.Digest {
		k.drifted(ctx, texts(result.Steps), err)
	}
	interval := doc.Spec.Reconcile.Interval.D()
	switch {
	case err == nil:
		k.forgetRefusal(ctx)
		k.good(onSpec)
		return interval
	case mayPass(err) || last == doc.Digest: // it did work once
		return min(k.rest(), interval)
	}
	k.refuse(ctx, doc, err)
	return k.lastGood(ctx, cause{}, err, false)
}

// run reconciles with a spec, and tells how that went. specErr says why this is not the spec of the file; look is what
// was found on the host just now, where the spec is in force already, or nil.
func (k *keeper) run(ctx context.Context, doc *api.Document, specErr error, reason string, look *plan.Look) (reconcile.Result, error) {
	notify("STATUS=reconciling")
	r := k.reconciler(k.host)
	r.Reason, r.Step, r.Look, r.Repair = reason, k.step, look, look != nil
	result, err := r.Once(ctx, doc)
	k.looked = time.Time{}
	if result.Look != nil {
		k.looked = result.Look.Began
	}
	k.found(result.Look)
	k.leaveStatus(ctx, k.host, doc, specErr, result, err)
	if err != nil {
		k.complain(onRun, message(err))
		return result, err
	}
	k.retry, k.resting = 0, time.Time{}
	k.good(onRun)
	if specErr == nil {
		notify("STATUS=this host is as " + k.spec + " says")
	}
	return result, nil
}

// found says what to watch on the host.
func (k *keeper) found(look *plan.Look) {
	if look != nil && k.watch != nil {
		k.watch(*look)
	}
}

// rest makes the next try wait longer than the last one did.
func (k *keeper) rest() time.Duration {
	k.retry = min(max(2*k.retry, firstRetry), lastRetry)
	k.resting = time.Now().Add(k.retry)
	return k.retry
}

// mayPass says whether the same spec may go through later. One that was refused, or undone because it did not work,
// will not; what this host lacks just now may come, and what could not be undone must be tried again.
func mayPass(err error) bool {
	var (
		failure *reconcile.Failure
		field   *plan.FieldError
	)
	if errors.As(err, &failure) {
		return !failure.Undone || failure.Undo != nil
	}
	return errors.As(err, &field) || errors.Is(err, host.ErrUnavailable)
}

// lastGood keeps the host as the last good spec says, where the present one is not to be had or refused. news says that
// this is not known yet.
func (k *keeper) lastGood(ctx context.Context, why cause, specErr error, news bool) time.Duration {
	doc, err := state.LastGood(ctx, k.host)
	if err != nil || doc == nil {
		k.leaveStatus(ctx, k.host, nil, specErr, reconcile.Result{}, nil)
		return noSpec
	}
	return k.lookAfter(ctx, why, doc, specErr, news)
}

// lookAfter keeps the host as a spec says that is in force already: what differs is drift.
func (k *keeper) lookAfter(ctx context.Context, why cause, doc *api.Document, specErr error, news bool) time.Duration {
	interval := doc.Spec.Reconcile.Interval.D()
	k.looked = time.Now()
	look, err := plan.FactFinder{Observer: k.host}.Look(ctx, &doc.Spec)
	if err != nil {
		k.complain(onRun, err.Error())
		return min(k.rest(), interval)
	}
	k.found(&look)
	steps := texts(look.Plan.Steps())
	now := reconcile.Result{Look: &look}
	if news { // else the status still tells of the run that was refused
		now.Began, now.Time = k.looked, time.Since(k.looked)
	}
	if len(steps) == 0 {
		k.good(onDrift)
		k.good(onRun)
		if len(look.Plan.Tidy) > 0 && doc.Spec.Reconcile.Drift == api.Repair {
			if _, err := k.run(ctx, doc, specErr, "tidying up", &look); err != nil {
				return min(k.rest(), interval)
			}
			return interval
		}
		k.leaveStatus(ctx, k.host, doc, specErr, now, nil)
		if specErr == nil {
			notify("STATUS=this host is as " + k.spec + " says")
		}
		return interval
	}
	if doc.Spec.Reconcile.Drift == api.Report {
		if k.complain(onDrift, "this host has drifted; not repaired, as reconcile.drift says. Repair would: "+strings.Join(steps, "; ")) {
			k.drifted(ctx, steps, errNotRepaired)
		}
		k.leaveStatus(ctx, k.host, doc, specErr, now, nil)
		return interval
	}
	if left := k.tooEarly(ctx, doc); left > 0 {
		return k.hold(why, left)
	}
	if left := k.inTransit(look, time.Now()); left > 0 {
		return k.hold(why, left)
	}
	if left := k.fights.pause(steps, time.Now()); left > 0 {
		k.complain(onDrift, fmt.Sprintf("somebody else keeps changing this host back; now the agent waits longer each time before it does: %s", strings.Join(steps, "; ")))
		k.leaveStatus(ctx, k.host, doc, specErr, now, nil)
		return k.hold(why, min(left, interval))
	}
	result, err := k.run(ctx, doc, specErr, why.drift(), &look)
	k.fights.repaired(append(steps, texts(result.Steps)...), time.Now())
	k.drifted(ctx, steps, err)
	if err != nil {
		return min(k.rest(), interval)
	}
	return interval
}

// hold lets what was seen wait.
func (k *keeper) hold(why cause, pause time.Duration) time.Duration {
	k.held = slices.DeleteFunc(slices.Clone(why.seen), func(what string) bool { return what == k.spec || what == filewatch.LookedUp })
	return pause
}

var errNotRepaired = errors.New("reconcile.drift says to report only")

// drifted counts that the host was found to differ from the spec in force.
func (k *keeper) drifted(ctx context.Context, steps []string, err error) {
	if len(steps) == 0 {
		return
	}
	k.drift.Found++
	event := state.DriftEvent{Time: time.Now().Truncate(time.Second), Steps: steps, Repaired: err == nil}
	if err == nil {
		k.drift.Repaired++
	} else {
		event.Error = err.Error()
	}
	k.drift.Last = &event
	if err := k.drift.Write(ctx, k.host); err != nil {
		k.log.Warn(err.Error())
	}
}

func texts(steps []plan.Step) []string {
	var all []string
	for _, s := range steps {
		all = append(all, s.String())
	}
	return all
}

// complain says something once, not at every look.
func (k *keeper) complain(about topic, text string) (first bool) {
	text = strings.TrimPrefix(text, "rlb-agent: ")
	notify("STATUS=" + text)
	if first = text != k.told[about]; first {
		k.log.Error(text)
	}
	if k.told == nil {
		k.told = map[topic]string{}
	}
	k.told[about] = text
	return first
}

// good ends a complaint: the next one is said again.
func (k *keeper) good(about topic) {
	if _, told := k.told[about]; told && about == onSpec {
		k.log.Info("the spec is good again")
	}
	delete(k.told, about)
}
