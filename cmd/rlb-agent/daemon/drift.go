package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/status"
)

// keepLastGood keeps the host in sync with the last good spec while the spec file cannot be read or is refused. news is
// true if that was not reported yet.
func (l *loop) keepLastGood(ctx context.Context, why cause, specErr error, news bool) time.Duration {
	doc, err := state.LastGood(ctx, l.host)
	if err != nil || doc == nil {
		l.report.ran(ctx, status.Report{Refused: specErr})
		return noSpecWait
	}
	return l.repairDrift(ctx, why, doc, specErr, news)
}

// repairDrift keeps the host in sync with the spec in force: any difference is drift.
func (l *loop) repairDrift(ctx context.Context, why cause, doc *api.Document, specErr error, news bool) time.Duration {
	interval := doc.Spec.Reconcile.Interval.D()
	l.lookedAt = time.Now()
	look, err := plan.FactFinder{Observer: l.host}.Look(ctx, &doc.Spec)
	if err != nil {
		l.logError(onRun, err)
		if ctx.Err() == nil { // else the status would go on saying that the host is in sync
			l.report.ran(ctx, l.failedLook(doc, specErr, err))
		}
		return min(l.retry.Next(), interval)
	}
	l.found(look)
	transit := l.inTransit(look, time.Now()) // also without a step, so that it learns that a transit has ended
	steps := texts(look.Plan.Steps())
	seen := status.Report{Doc: doc, Refused: specErr, Result: reconcile.Result{Look: &look}}
	if news { // else the status keeps the result of the refused run
		seen.Result.Began, seen.Result.Time = l.lookedAt, time.Since(l.lookedAt)
	}
	if len(steps) == 0 {
		return l.inSync(ctx, doc, seen)
	}
	if doc.Spec.Reconcile.Drift == api.Report && !why.tried { // what was tried is not drift
		if l.logOnce(onDrift, "this host has drifted, and is not repaired (reconcile.drift: report). A repair would: "+strings.Join(steps, "; ")) {
			l.recordDrift(ctx, steps, errNotRepaired)
		}
		l.report.ran(ctx, seen)
		return interval
	}
	if left := l.keepalivedRests(ctx, doc, &look); left > 0 {
		// The peers must learn that keepalived ended here: a host that goes from MASTER to BACKUP without that was only late.
		if _, err := l.report.Follow(ctx, doc); err != nil && ctx.Err() == nil {
			l.Log.Warn(err.Error())
		}
		return l.hold(why, left)
	}
	if transit > 0 {
		return l.hold(why, transit)
	}
	if left := l.repairs.pause(steps); left > 0 {
		l.logOnce(onDrift, fmt.Sprintf("another program keeps changing this host: the agent waits longer each time before it repairs: %s", strings.Join(steps, "; ")))
		l.report.ran(ctx, seen)
		return l.hold(why, min(left, interval))
	}
	result, err := l.run(ctx, doc, specErr, reconcile.Reconciler{Reason: why.drift(), Look: &look, Repair: true, Drift: true})
	l.repairs.done(append(steps, texts(result.Steps)...))
	l.recordDrift(ctx, steps, err)
	if err != nil {
		l.logError(onRun, err)
		return min(l.retry.Next(), interval)
	}
	if !result.Look.Plan.Empty() { // the host changed during the repair, and the last look is later than that change
		return l.hold(why, transitPause)
	}
	return interval
}

// failedLook is the report of a look that failed. As in a run, a spec that does not fit the host any more is refused.
func (l *loop) failedLook(doc *api.Document, specErr, err error) status.Report {
	if field := (*plan.FieldError)(nil); !errors.As(err, &field) {
		err = &reconcile.Failure{Err: err}
	}
	return status.Report{Doc: doc, Refused: specErr, Err: err, Result: reconcile.Result{Began: l.lookedAt, Time: time.Since(l.lookedAt)}}
}

// inSync handles a host without drift. It tidies up what is left over.
func (l *loop) inSync(ctx context.Context, doc *api.Document, seen status.Report) time.Duration {
	interval := doc.Spec.Reconcile.Interval.D()
	l.clearLogged(onDrift)
	l.clearLogged(onRun)
	if look := seen.Result.Look; len(look.Plan.Tidy) > 0 && doc.Spec.Reconcile.Drift == api.Repair {
		if _, err := l.run(ctx, doc, seen.Refused, reconcile.Reconciler{Reason: "tidying up", Look: look, Repair: true}); err != nil {
			l.logError(onRun, err)
			return min(l.retry.Next(), interval)
		}
		return interval
	}
	l.report.ran(ctx, seen)
	l.notifyInSync(seen.Refused)
	return interval
}

// hold postpones the changes seen to the next tick, after pause.
func (l *loop) hold(why cause, pause time.Duration) time.Duration {
	l.held = slices.DeleteFunc(slices.Clone(why.seen), func(what string) bool { return isSpec(what, l.Spec) })
	return pause
}

var errNotRepaired = errors.New("reconcile.drift says to report only")

// recordDrift counts drift from the spec in force.
func (l *loop) recordDrift(ctx context.Context, steps []string, err error) {
	if len(steps) == 0 {
		return
	}
	l.drift.Found++
	event := state.DriftEvent{Time: time.Now().Truncate(time.Second), Steps: steps, Repaired: err == nil}
	if err == nil {
		l.drift.Repaired++
	} else {
		event.Error = err.Error()
	}
	l.drift.Last = &event
	if err := l.drift.Write(ctx, l.host); err != nil {
		l.Log.Warn(err.Error())
	}
}

func texts(steps []plan.Step) []string {
	var all []string
	for _, s := range steps {
		all = append(all, s.String())
	}
	return all
}
