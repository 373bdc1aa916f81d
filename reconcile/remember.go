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

// remember records, once, the original state of everything that the plan changes for the first time. It runs before
// packages are installed, because the install scripts write files that are not original.
func (r *run) remember(ctx context.Context) error {
	changed := !maps.Equal(r.memory.Facts.Sysctls, r.desired.Facts.Sysctls)
	r.memory.Facts.Sysctls = r.desired.Facts.Sysctls // once the agent has set them, they no longer show the original values
	for _, want := range r.desired.Units {
		if _, known := r.memory.Units[want.Name]; !known {
			unit, err := r.Host.Unit(ctx, want.Name)
			if err != nil {
				return err
			}
			was := state.UnitWas{Enabled: unit.Enabled(), Active: unit.Active(), Masked: unit.UnitFileState == "masked"}
			if slices.Contains(render.OwnUnits, want.Name) { // the agent's own unit has no original state
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

// settle records what is in force now, if it is new. A trial is not recorded: after a boot, its end needs the facts of the
// spec before it. A permanent run ends any trial.
func (r *run) settle(ctx context.Context) error {
	if r.keep == trial {
		return nil
	}
	if err := r.remember(ctx); err != nil { // there may have been nothing to do, but the memory may be lost
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
		tried, _ := r.Host.File(ctx, state.TrialSpecFile) // only for the text of an entry in the journal
		r.stays = string(tried.Data) == string(r.doc.Data)
		err = r.endTrial(ctx, r.trialOutcome)
	}
	if err != nil {
		return &Failure{Err: err}
	}
	return nil
}
