package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"rlb.dev/rlb-agent/reconcile/host"
)

// Failure is a run that did not come to its end.
type Failure struct {
	Err    error // what went wrong
	Undo   error // what went wrong on the way back; nil where everything is as it was before
	Undone bool  // there was something to undo
}

// Error says what went wrong, and what is in force now.
func (f *Failure) Error() string {
	switch {
	case f.Undo != nil:
		return fmt.Sprintf("%v\nand cannot bring back what was there before: %v\na person is needed: see systemctl status haproxy keepalived, mend what stands above, then run rlb-agent --once", f.Err, f.Undo)
	case f.Undone:
		return fmt.Sprintf("%v\nwhat was there before is in force again", f.Err)
	}
	return f.Err.Error()
}

// Unwrap is what went wrong.
func (f *Failure) Unwrap() error { return f.Err }

// undo brings back what was there before the run, and says how that went.
func (r *run) undo(ctx context.Context, cause error) error {
	if !r.started {
		return &Failure{Err: cause}
	}
	ctx = context.WithoutCancel(ctx)
	if err := r.Host.Ready(ctx); err != nil { // the machine is going down: that is why, and the next boot goes on
		return &Failure{Err: fmt.Errorf("%w; %w; the next run goes on from here", cause, err)}
	}
	r.Log.Error("undoing", "cause", cause)
	t := &tools{host: r.Host, memory: &r.memory}
	var failed []error
	now := takeBaseline(ctx, r.Host) // its workers must be replaced
	back := wayBack(r.done)
	for _, s := range back {
		r.Log.Info(s.String())
		if err := s.apply(ctx, t); err != nil {
			failed = append(failed, inStep(s, err))
		}
	}
	if len(r.brought) > 0 && !errors.Is(cause, context.Canceled) { // who only stopped it wants no other packages
		failed = append(failed, r.purge(ctx, t))
	}
	if errors.Join(failed...) == nil {
		failed = append(failed, r.servesAgain(ctx, back, now))
	}
	switch { // a run that never was is not to be remembered
	case errors.Join(failed...) != nil || errors.Is(cause, context.Canceled):
	case r.blank:
		failed = append(failed, forget{dirs: []string{generationsDir, beforeDir, packagedDir, host.StateDir}}.apply(ctx, t))
	default:
		failed = append(failed, r.was.save(ctx, r.Host))
	}
	return &Failure{Err: cause, Undo: errors.Join(failed...), Undone: true}
}

// wayBack are the steps that undo others. A unit is disabled while its file is there, and enabled, started or masked
// when it is there again; all else comes in the order of what it undoes.
func wayBack(done []Step) []Step {
	var back []Step
	for _, s := range done {
		for _, b := range s.undo() {
			// one reload is enough for many servers
			back = slices.DeleteFunc(back, func(before Step) bool { return isReload(before) && isReload(b) && before == b })
			back = append(back, b)
		}
	}
	rank := func(s Step) int {
		switch s.(type) {
		case disableUnit:
			return 0
		case enableUnit:
			return 2
		case startUnit, remaskUnit:
			return 3
		}
		return 1
	}
	slices.SortStableFunc(back, func(a, b Step) int { return rank(a) - rank(b) })
	return back
}

func isReload(s Step) bool { _, is := s.(reloadUnit); return is }

// purge removes the packages that this run brought. With them goes what they call their configuration, even where it
// was there before them: that comes back.
func (r *run) purge(ctx context.Context, t *tools) error {
	if err := r.Host.PurgePackages(ctx, r.brought...); err != nil {
		return err
	}
	r.memory.Installed = slices.DeleteFunc(r.memory.Installed, func(name string) bool { return slices.Contains(r.brought, name) })
	failed := []error{r.memory.save(ctx, r.Host)}
	for _, path := range slices.Sorted(maps.Keys(r.before)) {
		now, err := r.Host.File(ctx, path)
		if err == nil && r.before[path].Exists && !now.Exists {
			err = putBack{file: r.before[path]}.apply(ctx, t)
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// servesAgain sees that the units that were made to load the files of before run with them.
func (r *run) servesAgain(ctx context.Context, back []Step, now baseline) error {
	var d Desired
	for _, s := range back {
		if name, config := loads(s); name != "" && config != "" {
			d.Units = append(d.Units, UnitWant{Name: name, Run: true, Config: config})
		}
	}
	if len(d.Units) == 0 {
		return nil
	}
	for _, addr := range r.base.listen {
		d.Listen = append(d.Listen, ListenWant{Addr: addr})
	}
	d.Instances = slices.Sorted(maps.Keys(r.base.well))
	if err := serves(ctx, r.Host, d, baseline{workers: now.workers, well: r.base.well}, reloadsHAProxy(back)); err != nil {
		return fmt.Errorf("%w, with the configuration of before", err)
	}
	return recordLoaded(ctx, r.Host, back)
}
