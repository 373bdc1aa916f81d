package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
)

// A trial is a spec in force that is taken back automatically. During the trial spec.yaml is unchanged: to end the trial is
// to reconcile with spec.yaml. A systemd timer does this, so that neither the agent nor the terminal has to live. A unit
// does it at boot, so that a reboot ends the trial too.
const (
	trialUnit  = "rlb-trial-end.service"
	trialTimer = "rlb-trial-end.timer"
)

// BeginTrial brings a spec into force until the deadline. The end is set up before anything changes. A failed run is undone
// as usual, and the trial is over; if the undo failed too, the end of the trial is the way back. command is the command
// that ends a trial, with absolute path and arguments. If others than root can change its program, the error wraps
// host.ErrUnavailable, and nothing was changed.
func (r *Reconciler) BeginTrial(ctx context.Context, doc *api.Document, t state.Trial, command string) (Result, error) {
	if err := r.Host.Ready(ctx); err != nil {
		return Result{}, err
	}
	program, _, _ := strings.Cut(command, " ")
	if err := r.Host.RootOnly(ctx, program); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Result{}, host.Unavailable("cannot begin a trial: systemd would run "+program+" as root to end it: "+err.Error(), err)
	}
	err := r.Host.StopUnit(ctx, trialUnit) // the end of an earlier trial that waits for the lock would end this one
	if err == nil {
		err = r.endTrial(ctx, replaced) // left by a killed run: its timer would end this trial
	}
	if err != nil {
		return Result{}, &Failure{Err: err}
	}
	until := t.Deadline
	t.Deadline = time.Now() // a run that is killed leaves a trial that is over: whoever gets the lock goes back at once
	if err := r.arm(ctx, doc, t, until, command); err != nil {
		return Result{}, &Failure{Err: errors.Join(err, r.endTrial(ctx, failed))}
	}
	result, err := r.apply(ctx, doc, trial)
	failure := (*Failure)(nil)
	undone := !errors.As(err, &failure) || failure.Undone && failure.Undo == nil
	if err != nil && (undone || len(result.Steps) == 0) {
		if endErr := r.endTrial(ctx, failed); endErr != nil {
			r.Log.Error(endErr.Error())
		}
	}
	if err == nil {
		err = r.setDeadline(ctx, until)
	}
	return result, err
}

// setDeadline changes the deadline of the running trial.
func (r *Reconciler) setDeadline(ctx context.Context, until time.Time) error {
	ctx = context.WithoutCancel(ctx)
	t, err := state.RunningTrial(ctx, r.Host)
	if err == nil && t != nil {
		t.Deadline = until
		err = t.Write(ctx, r.Host)
	}
	return err
}

func (r *Reconciler) arm(ctx context.Context, doc *api.Document, t state.Trial, until time.Time, command string) error {
	left := max(time.Second, time.Until(until))
	// the user is for the journal and the history: no person ends this trial
	unit := fmt.Sprintf("# Made by rlb-agent: ends a trial that nobody confirmed.\n[Unit]\nDescription=End of a trial of rlb-agent\nAfter=dbus.service\n\n"+
		"[Service]\nType=oneshot\nEnvironment=USER=%s\nExecStart=%s\nTimeoutStartSec=10min\n\n[Install]\nWantedBy=multi-user.target\n", timerUser, command)
	timer := fmt.Sprintf("# Made by rlb-agent: ends a trial that nobody confirmed.\n[Unit]\nDescription=End of a trial of rlb-agent\n\n"+
		"[Timer]\nOnActiveSec=%dms\nAccuracySec=100ms\nUnit=%s\n", left.Milliseconds(), trialUnit)
	for _, f := range []struct {
		path, text string
		mode       fs.FileMode
	}{
		{host.UnitDir + trialUnit, unit, 0o644},
		{host.UnitDir + trialTimer, timer, 0o644},
		{state.TrialSpecFile, string(doc.Data), 0o600},
	} {
		if err := r.Host.WriteFile(ctx, f.path, []byte(f.text), f.mode, 0, 0); err != nil {
			return err
		}
	}
	if err := t.Write(ctx, r.Host); err != nil {
		return err
	}
	return errors.Join(
		r.Host.ReloadManager(ctx),
		r.Host.StartUnit(ctx, trialTimer), // the timer counts from its start; EnableUnit makes systemd read all unit files once more
		r.Host.EnableUnit(ctx, trialUnit),
	)
}

// LeaveTrial reconciles with the spec that stays in force and ends the trial. If a run that goes back to the spec file fails,
// LeaveTrial goes back to the spec that was in force before. left is the spec of the last run. If that fails too, the time of
// the trial is over: the daemon goes on trying, also with reconcile.drift: report, and confirm is refused.
func (r *Reconciler) LeaveTrial(ctx context.Context, doc *api.Document) (left *api.Document, result Result, err error) {
	left = doc
	var first error
	for {
		if result, err = r.Once(ctx, left); err == nil || r.Keeps || first != nil {
			break
		}
		good, lost := state.LastGood(ctx, r.Host)
		if lost != nil || good == nil || good.Digest == doc.Digest {
			break
		}
		r.Log.Warn("cannot go back to the spec file: going back to the spec that was in force before the trial", "err", err)
		left, first = good, err
	}
	if err == nil {
		return left, result, r.EndTrial(ctx)
	}
	return left, result, errors.Join(first, err, r.setDeadline(ctx, time.Now()))
}

// An ending says how a trial ended: one word for programs, and a text for people.
type ending func(t state.Trial) (word, text string)

func outcome(word, text string) ending {
	return func(state.Trial) (string, string) { return word, text }
}

var (
	failed   = outcome("failed", "it could not be brought into force")
	lostRun  = outcome("failed", "the run that should end it failed; rlb-agent status shows which spec is in force")
	replaced = outcome("expired", "nobody confirmed it, and another trial begins")
)

// earlyEnd is how long before its deadline a trial may count as expired: the clock may have been set back.
const earlyEnd = time.Second

// timerUser is the user name of a run that ends a trial automatically.
const timerUser = "systemd"

// trialOutcome is the ending of a trial by a successful run.
func (r *Reconciler) trialOutcome(t state.Trial) (word, text string) {
	switch {
	case r.Keeps:
		return "confirmed", "confirmed by " + cmp.Or(r.By, "the agent") + "; it stays in force"
	case r.stays:
		return "confirmed", "the spec file has become what was tried; it stays in force"
	case t.Deadline.Sub(t.Since) < time.Second:
		return "failed", "the run that began it was killed; it is not in force"
	case t.Over(time.Now().Add(earlyEnd)):
		text = "nobody confirmed it"
		if !t.Since.IsZero() {
			text += fmt.Sprintf(" within %v", t.Deadline.Sub(t.Since).Round(time.Second))
		}
		return "expired", text + "; it is no longer in force"
	case r.By == timerUser: // the unit ran at boot
		return "ended", "this host was booted again; it is no longer in force"
	}
	return "ended", "ended early by " + cmp.Or(r.By, "the agent") + "; it is no longer in force"
}

// EndTrial removes the files and units of a trial that no run has ended, if any exist. It does not change what is in force.
func (r *Reconciler) EndTrial(ctx context.Context) error { return r.endTrial(ctx, lostRun) }

// endTrial removes the files and units of a trial, if any exist, and logs how the trial ended. The record is removed last:
// while it exists, another call or the next permanent run removes the rest.
func (r *Reconciler) endTrial(ctx context.Context, how ending) error {
	ctx = context.WithoutCancel(ctx)
	left := false
	for _, path := range append(state.TrialFiles(), host.UnitDir+trialUnit, host.UnitDir+trialTimer) {
		f, err := r.Host.File(ctx, path)
		if err != nil {
			return err
		}
		left = left || f.Exists
	}
	if !left {
		return nil
	}
	t, err := state.RunningTrial(ctx, r.Host)
	if err == nil && t != nil && t.Damage != nil {
		r.Log.Warn("ending a trial", "err", t.Damage)
	}
	for _, do := range []func() error{ // in this order: a unit without its file cannot be disabled
		func() error { return r.Host.StopUnit(ctx, trialTimer) },
		func() error { return r.Host.DisableUnit(ctx, trialUnit) },
		func() error { return r.Host.RemoveFile(ctx, host.UnitDir+trialTimer) },
		func() error { return r.Host.RemoveFile(ctx, host.UnitDir+trialUnit) },
		func() error { return r.Host.ReloadManager(ctx) },
		func() error { return r.Host.RemoveFile(ctx, state.TrialSpecFile) },
		func() error { return state.RemoveTrial(ctx, r.Host) },
	} {
		if err := do(); err != nil {
			return fmt.Errorf("cannot end the trial: %w", err)
		}
	}
	if t != nil && t.File != "" { // else nothing is known of the trial
		r.noteEnd(*t, how)
	}
	return nil
}

// noteEnd logs to the journal how a trial ended.
func (r *Reconciler) noteEnd(t state.Trial, how ending) {
	word, text := how(t)
	what := "the trial of " + t.File
	if !t.Since.IsZero() {
		what += " since " + t.Since.Local().Format(time.TimeOnly)
	}
	if t.By != "" {
		what += " by " + t.By
	}
	cmp.Or(r.Note, r.Log).Info(what+" is over: "+text, "trial", word)
}
