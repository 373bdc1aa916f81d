package daemon

import (
	"context"
	"errors"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/backoff"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/status"
)

const (
	lockPause  = 2 * time.Second // before the lock is tried again
	noSpecWait = time.Minute     // if no spec sets an interval
)

// Lockable is a host that only one process changes at a time.
type Lockable interface {
	host.Host
	// Lock waits until no other process changes the host, for at most timeout.
	Lock(ctx context.Context, timeout time.Duration) (unlock func(), err error)
	// Installing reports whether another program runs apt or dpkg.
	Installing() bool
}

// loop keeps, from tick to tick, what must not be tried or logged again.
type loop struct {
	Config
	logged
	host   Lockable
	report *reporter
	watch  func(plan.Look) // called with each look at the host, to watch the files that it names; may be nil

	refused      *state.Refusal    // the spec that was refused, or nil
	again        backoff.Backoff   // for a refused spec whose cause may pass
	drift        state.DriftRecord // drift found and repaired since boot
	repairs      repairs
	retry        backoff.Backoff // for failed runs
	readAt       time.Time       // when the spec was last read
	lookedAt     time.Time       // when the host was last looked at
	transitSince time.Time       // since when a unit is activating or deactivating, or a package is being installed; zero: none
	held         []string        // changes seen that have to wait
	asked        bool            // a request (SIGHUP) has to wait
	turn         turn            // the edit that waits until the standby has changed
}

func newLoop(h Lockable, c Config, report *reporter) *loop {
	return &loop{
		Config: c, logged: logged{c.Log, map[topic]string{}}, host: h, report: report,
		repairs: repairs{}, retry: backoff.Backoff{First: 2 * time.Second, Most: 5 * time.Minute},
		again: backoff.Backoff{First: 2 * time.Second, Most: lookAgain},
	}
}

// tick reconciles if there is a reason, and returns the time until the next tick.
func (l *loop) tick(ctx context.Context, why cause) time.Duration {
	if len(why.seen) == 0 {
		why.seen = l.held
	}
	why.asked = why.asked || l.asked
	l.held, l.asked = nil, false
	if left := l.retry.Left(); left > 0 && !why.asked && !why.started && !why.edited(l.Spec) {
		return left
	}
	l.Watchdog.within(l.LockTimeout + lookBound) // --lock-timeout may be long
	unlock, err := l.host.Lock(ctx, l.LockTimeout)
	l.Watchdog.within(lookBound)
	if err != nil {
		l.logError(onLock, err)
		l.retry.Reset() // else an edit would then wait for the back-off of former failures
		l.asked = why.asked
		return lockPause
	}
	defer unlock()
	l.clearLogged(onLock)
	if err := (&reconcile.Reconciler{Host: l.host, Log: l.Log}).EndAbandonedDrain(ctx); err != nil {
		l.logError(onRun, err)
	}
	trial, err := state.RunningTrial(ctx, l.host)
	if err != nil {
		l.logError(onRun, err)
		return noSpecWait
	}
	if trial != nil && !trial.Over(time.Now()) {
		notify("STATUS=waiting: " + trial.File + " is tried")
		l.asked = why.asked
		// a systemd timer ends the trial; if it fails, the next tick does
		return min(time.Until(trial.Deadline)+time.Second, noSpecWait)
	}
	why.tried = trial != nil
	return l.followSpec(ctx, why)
}

// followSpec brings the spec file into force, or keeps the host in sync with the spec in force.
func (l *loop) followSpec(ctx context.Context, why cause) time.Duration {
	l.readAt = time.Now()
	doc, err := l.ReadSpec()
	if err != nil {
		l.refused = nil // the file is another one now
		return l.keepLastGood(ctx, why, err, l.logRefusal(ctx, err, ""))
	}
	last, err := l.digestInForce(ctx, doc)
	switch {
	case err != nil:
		l.logError(onRun, err)
		return noSpecWait
	case l.wasRefused(doc, last) && !why.asked && !(l.triesAgain() && l.again.Left() == 0):
		l.logRefusal(ctx, l.refused, doc.Digest)
		return l.untilDue(l.keepLastGood(ctx, why, l.refused, false))
	case last == doc.Digest && !why.tried && !why.asked && (!why.started || doc.Spec.Reconcile.Drift == api.Report):
		l.clearLogged(onSpec)
		return l.repairDrift(ctx, why, doc, nil, true)
	}
	return l.applySpec(ctx, why, doc, last)
}

// digestInForce returns the digest of the spec in force, or "". If that spec is doc but its kept copy is lost, it is written
// again: the failover reads the copy.
func (l *loop) digestInForce(ctx context.Context, doc *api.Document) (string, error) {
	history, err := state.History(ctx, l.host)
	if err != nil || len(history) == 0 {
		return "", err
	}
	last := &history[len(history)-1]
	if last.Digest == doc.Digest {
		if err := last.Restore(ctx, l.host, doc.Data); err != nil {
			l.Log.Warn(err.Error())
		}
	}
	return last.Digest, nil
}

// applySpec brings a spec into force. last is the digest of the spec in force, or "".
func (l *loop) applySpec(ctx context.Context, why cause, doc *api.Document, last string) time.Duration {
	var (
		look  *plan.Look
		early *reconcile.EarlyCheck
	)
	if last != "" && last != doc.Digest {
		var left time.Duration
		if left, look, early = l.afterStandby(ctx, why, doc); left > 0 {
			notify("STATUS=waiting: the peer changes its virtual router first")
			l.retry.Reset() // else the edit would then wait for the back-off of former failures
			return left
		}
	}
	if left := l.keepalivedRests(ctx, doc, look); left > 0 {
		early.Wait()
		l.retry.Reset()
		l.asked = why.asked
		return left
	}
	reason := "the spec changed"
	switch last {
	case "":
		reason = "first run"
	case doc.Digest:
		reason = why.drift()
	}
	result, err := l.run(ctx, doc, nil, reconcile.Reconciler{Reason: reason, Look: look, Early: early, Drift: last == doc.Digest && why.asked})
	if last == doc.Digest {
		l.recordDrift(ctx, texts(result.Steps), err)
	}
	interval := doc.Spec.Reconcile.Interval.D()
	switch {
	case err == nil:
		l.forgetRefusal(ctx)
		l.clearLogged(onSpec)
		return interval
	case last == doc.Digest || mayPass(err) || last == "" && host.IsForNow(err): // this spec worked once, or the failure is not caused by it
		l.logError(onRun, err)
		return min(l.retry.Next(), interval)
	}
	l.refuse(ctx, doc, err)
	return l.untilDue(l.keepLastGood(ctx, cause{}, refusedFor(err), false))
}

// run reconciles with a spec and reports the result. specErr says why this spec is not the spec file; r has the reason
// and the latest look at the host.
func (l *loop) run(ctx context.Context, doc *api.Document, specErr error, r reconcile.Reconciler) (reconcile.Result, error) {
	notify("STATUS=" + status.Reconciling)
	r.Host, r.Log, r.By, r.Rejoin, r.Step = l.host, l.Log, "the daemon", l.Rejoin, l.begins
	result, err := r.Once(ctx, doc)
	l.lookedAt = time.Time{}
	if result.Look != nil {
		l.lookedAt = result.Look.Began
		l.found(*result.Look)
	}
	l.report.ran(ctx, status.Report{Doc: doc, Refused: specErr, Result: result, Err: err})
	if err != nil {
		return result, err
	}
	l.retry.Reset()
	l.clearLogged(onRun)
	l.notifyInSync(specErr)
	return result, nil
}

// begins reports the step that begins to systemd and the watchdog.
func (l *loop) begins(s plan.Step) {
	notify("STATUS=" + status.Reconciling + ": " + s.String())
	l.Watchdog.step(s)
}

// found updates the watches after a look at the host.
func (l *loop) found(look plan.Look) {
	if l.watch != nil {
		l.watch(look)
	}
}

func (l *loop) notifyInSync(specErr error) {
	if specErr == nil {
		notify("STATUS=in sync with " + l.Spec)
	}
}

// mayPass reports whether a run failed for a reason other than its spec. A run that was refused, or that was undone,
// failed because of its spec. A run that could not be undone must be tried again. A canceled run tells nothing about
// its spec.
func mayPass(err error) bool {
	if failure := (*reconcile.Failure)(nil); errors.As(err, &failure) {
		return !failure.Undone || failure.Undo != nil || errors.Is(err, context.Canceled)
	}
	return errors.Is(err, host.ErrUnavailable)
}
