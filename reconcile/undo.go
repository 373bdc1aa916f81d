package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/reconcile/state"
)

// Failure is the error of a run that did not complete.
type Failure struct {
	Err    error // what went wrong
	Undo   error // error of the undo; nil if everything is as before
	Undone bool  // there were steps to undo
}

// Error says what went wrong and what is now in force.
func (f *Failure) Error() string {
	switch {
	case f.Undo != nil:
		return fmt.Sprintf("%v\nand cannot bring back what was there before: %v\nmanual intervention required: see systemctl status haproxy keepalived, fix the error above, then run rlb-agent --once", f.Err, f.Undo)
	case f.Undone:
		return fmt.Sprintf("%v\nwhat was there before is in force again", f.Err)
	}
	return f.Err.Error()
}

// Unwrap returns Err.
func (f *Failure) Unwrap() error { return f.Err }

// undo restores the state from before the run and returns the Failure.
func (r *run) undo(ctx context.Context, cause error) error {
	if failure := (*Failure)(nil); errors.As(cause, &failure) { // it says what is in force without this undo
		cause = failure.Err
	}
	if !r.started {
		return &Failure{Err: cause}
	}
	ctx = context.WithoutCancel(ctx)
	if err := r.Host.Ready(ctx); err != nil { // the machine shuts down: this caused the failure, and the run after the boot continues
		return &Failure{Err: fmt.Errorf("%w; %w; the next run goes on from here", cause, err)}
	}
	r.Log.Warn(fmt.Sprintf("undoing %d steps", len(r.done))) // the reason is the error of the run
	t := &plan.Tools{Host: r.Host, Memory: &r.memory, Rejoin: r.Rejoin}
	var failed []error
	now := takeBaseline(ctx, r.Host) // its HAProxy workers must be replaced
	back := plan.WayBack(r.done)
	for _, s := range back {
		if r.Step != nil { // the daemon's watchdog bounds each step
			r.Step(s)
		}
		r.Log.Info(s.String())
		if err := s.Do(ctx, t); err != nil {
			failed = append(failed, inStep(s, err))
		}
	}
	if len(r.brought) > 0 && !errors.Is(cause, context.Canceled) { // a run that was only stopped keeps its packages
		failed = append(failed, r.purge(ctx, t))
	}
	if errors.Join(failed...) == nil {
		failed = append(failed, r.servesAgain(ctx, back, now))
	}
	switch { // a run that was undone is not remembered
	case errors.Join(failed...) != nil || errors.Is(cause, context.Canceled):
	case !r.was.Known && r.lostMemory():
		failed = append(failed, state.ForgetMemory(ctx, r.Host))
	case !r.was.Known:
		failed = append(failed, plan.Forget(state.GenerationsDir, state.BeforeDir, state.PackagedDir, host.StateDir).Do(ctx, t))
	default:
		failed = append(failed, r.was.Save(ctx, r.Host))
	}
	return &Failure{Err: cause, Undo: errors.Join(failed...), Undone: true}
}

// lostMemory reports whether the host has rendered files from before this run although there was no memory. A purge of the
// agent's package leaves such files, and keepalived or a unit at boot may read those in the agent's own directory. If the
// memory was lost otherwise, the only copies of the original files are in that directory too.
func (r *run) lostMemory() bool {
	for file, f := range r.before {
		if f.Exists && (path.Dir(file) == host.StateDir || state.Rendered(f)) {
			return true
		}
	}
	return false
}

// purge removes the packages that this run installed. The purge also removes configuration files that existed before the
// packages; these are restored.
func (r *run) purge(ctx context.Context, t *plan.Tools) error {
	if err := r.Host.PurgePackages(ctx, r.brought...); err != nil {
		return err
	}
	r.memory.Installed = slices.DeleteFunc(r.memory.Installed, func(name string) bool { return slices.Contains(r.brought, name) })
	failed := []error{r.memory.Save(ctx, r.Host)}
	for _, path := range slices.Sorted(maps.Keys(r.before)) {
		now, err := r.Host.File(ctx, path)
		if err == nil && r.before[path].Exists && !now.Exists {
			err = plan.PutBack(r.before[path], nil).Do(ctx, t)
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// servesAgain checks that the units that reloaded their old files run with them.
func (r *run) servesAgain(ctx context.Context, back []plan.Step, now baseline) error {
	var d plan.Desired
	for _, s := range back {
		if s.Loads.Unit != "" && s.Loads.Config != "" {
			d.Units = append(d.Units, plan.UnitWant{Name: s.Loads.Unit, Run: true, Config: s.Loads.Config})
		}
	}
	if len(d.Units) == 0 {
		return nil
	}
	for _, addr := range r.base.listen {
		d.Listen = append(d.Listen, plan.ListenWant{Addr: addr})
	}
	d.Model.Instances = slices.Sorted(maps.Keys(r.base.well))
	err := serves(ctx, r.Host, d, baseline{workers: now.workers, well: r.base.well}, plan.Reloads(back, host.HAProxyUnit), r.loadSize())
	if stopped := (*stoppedError)(nil); !errors.As(err, &stopped) { // no further plan would start it
		err = r.verified(err)
	}
	if err != nil {
		return fmt.Errorf("%w, with the configuration of before", err)
	}
	return plan.RecordLoaded(ctx, r.Host, back)
}
