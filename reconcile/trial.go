package reconcile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
)

// A trial is a spec in force that goes back by itself. While it lasts, spec.yaml stays as it was: going back is only to
// reconcile with that again. A timer of systemd does it, so that neither the agent nor the terminal need live; and a
// unit does it at boot, so that a reboot ends the trial too.
const (
	trialUnit  = "rlb-trial-end.service"
	trialTimer = "rlb-trial-end.timer"
)

// BeginTrial brings a spec into force until the deadline. Its end is arranged for before anything changes. A failed
// run is undone as ever, and the trial is over then; of one that was not undone, the trial's end is the way back.
// command ends a trial, with absolute path and arguments.
func (r *Reconciler) BeginTrial(ctx context.Context, doc *api.Document, t state.Trial, command string) (Result, error) {
	if err := r.Host.Ready(ctx); err != nil {
		return Result{}, err
	}
	if err := r.EndTrial(ctx); err != nil { // what a killed one left: its timer would end this one
		return Result{}, &Failure{Err: err}
	}
	if err := r.arm(ctx, doc, t, command); err != nil {
		return Result{}, &Failure{Err: errors.Join(err, r.EndTrial(ctx))}
	}
	result, err := r.apply(ctx, doc, trial)
	failure := (*Failure)(nil)
	undone := !errors.As(err, &failure) || failure.Undone && failure.Undo == nil
	if err != nil && (undone || len(result.Steps) == 0) {
		if endErr := r.EndTrial(ctx); endErr != nil {
			r.Log.Error(endErr.Error())
		}
	}
	return result, err
}

func (r *Reconciler) arm(ctx context.Context, doc *api.Document, t state.Trial, command string) error {
	seconds := int(time.Until(t.Deadline).Round(time.Second).Seconds())
	unit := fmt.Sprintf("# Made by rlb-agent: ends a trial that nobody confirmed.\n[Unit]\nDescription=End of a trial of rlb-agent\nAfter=dbus.service\n\n"+
		"[Service]\nType=oneshot\nExecStart=%s\nTimeoutStartSec=10min\n\n[Install]\nWantedBy=multi-user.target\n", command)
	timer := fmt.Sprintf("# Made by rlb-agent: ends a trial that nobody confirmed.\n[Unit]\nDescription=End of a trial of rlb-agent\n\n"+
		"[Timer]\nOnActiveSec=%ds\nAccuracySec=100ms\nUnit=%s\n", max(1, seconds), trialUnit)
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
		r.Host.EnableUnit(ctx, trialUnit),
		r.Host.StartUnit(ctx, trialTimer),
	)
}

// EndTrial takes away what a trial needs, where there is any of it. It does not touch what is in force. The record goes
// last: as long as it is there, another end, or the next run for good, takes the rest away.
func (r *Reconciler) EndTrial(ctx context.Context) error {
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
	if t, err := state.RunningTrial(ctx, r.Host); err == nil && t != nil && t.Damage != nil {
		r.Log.Warn("ending a trial", "err", t.Damage)
	}
	for _, do := range []func() error{ // one after the other: a unit whose file is gone cannot be disabled
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
	return nil
}
