package reconcile

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"time"

	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render"
)

// remember keeps, once, how everything was that the plan is about to touch for the first time. It comes before the
// packages: what their install scripts write was not there before.
func (r *run) remember(ctx context.Context) error {
	changed := !maps.Equal(r.memory.Facts.Sysctls, r.desired.Facts.Sysctls)
	r.memory.Facts.Sysctls = r.desired.Facts.Sysctls // they tell nothing of before once they are set
	for _, want := range r.desired.Units {
		if _, known := r.memory.Units[want.Name]; !known {
			unit, err := r.Host.Unit(ctx, want.Name)
			if err != nil {
				return err
			}
			was := state.UnitWas{Enabled: unit.Enabled(), Active: unit.Active(), Masked: unit.UnitFileState == "masked"}
			if slices.Contains(render.OwnUnits, want.Name) { // the agent's own, whatever is there
				was = state.UnitWas{}
			}
			r.memory.Units[want.Name] = was
			changed = true
		}
	}
	if changed {
		if err := r.memory.Save(ctx, r.Host); err != nil {
			return err
		}
	}
	for _, f := range r.desired.Files {
		if _, kept := r.memory.Files[f.Path]; kept {
			continue
		}
		have, err := r.Host.File(ctx, f.Path)
		if err != nil {
			return err
		}
		if err := r.memory.KeepFile(ctx, r.Host, have, false); err != nil {
			return err
		}
	}
	return nil
}

// settle remembers what is in force now. It writes only where that is new. A trial is not remembered: after a boot its
// way back needs the facts of before. A run for good is the end of any trial.
func (r *run) settle(ctx context.Context) error {
	if r.keep == trial {
		return nil
	}
	if err := r.remember(ctx); err != nil { // there was nothing to do, but the memory may be lost
		return &Failure{Err: err}
	}
	known := reflect.DeepEqual(r.memory.Facts, r.desired.Facts)
	r.memory.Facts = r.desired.Facts
	var err error
	switch {
	case r.memory.Digest != r.doc.Digest:
		err = r.memory.KeepGeneration(ctx, r.Host, r.doc, r.desired.Files, r.By, time.Now())
	case !known:
		err = r.memory.Save(ctx, r.Host)
	}
	if err == nil {
		err = r.endTrial(ctx, r.trialOutcome)
	}
	if err != nil {
		return &Failure{Err: err}
	}
	return nil
}
