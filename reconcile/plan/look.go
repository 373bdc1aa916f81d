package plan

import (
	"context"
	"slices"
	"time"

	"rlb.dev/rlb-agent/api"
)

// Look is what planning found: it is all that a dry run, a diff or a status needs, and it changes nothing.
type Look struct {
	Desired  Desired
	Observed Observed
	Plan     Plan
	Notes    []string  // what was assumed
	Began    time.Time // what changed since may not be in it
}

// Look finds what the spec wants of the host, what the host is, and the difference.
func (f FactFinder) Look(ctx context.Context, spec *api.LoadBalancerSpec) (Look, error) {
	began := time.Now()
	facts, notes, err := f.Find(ctx, spec)
	if err != nil {
		return Look{Notes: notes}, err
	}
	desired, err := Want(spec, facts)
	if err != nil {
		return Look{Notes: notes}, err
	}
	observed, err := Observe(ctx, f.Observer, desired)
	if err != nil {
		return Look{Notes: notes}, err
	}
	desired.ApplyRuntimeState(observed)
	return Look{desired, observed, NewPlan(desired, observed), notes, began}, nil
}

// ChangesRouter says whether the plan makes keepalived read another configuration.
func (l Look) ChangesRouter() bool { return l.writes(l.Desired.Facts.KeepalivedConfig) }

// ChangesPrograms says whether the plan brings a configuration and a program together that were not before: it changes
// what HAProxy or keepalived read, or one of them is another program than before.
func (l Look) ChangesPrograms() bool {
	return l.ChangesRouter() || l.writes(l.Desired.Facts.HAProxyConfig) || slices.ContainsFunc(l.Plan.Configure, func(s Step) bool {
		return s.Verb == verbCheck || (s.Verb == verbReload || s.Verb == verbRestart) && l.Observed.Units[s.Object].Replaced
	})
}

func (l Look) writes(path string) bool {
	return slices.ContainsFunc(l.Plan.Configure, func(s Step) bool { return s.Verb == verbWrite && s.Object == path })
}

// FileDiffs are the changes of files that the plan makes, as unified diffs.
func (l Look) FileDiffs() []string {
	var diffs []string
	for _, s := range l.Plan.Configure {
		if s.Verb == verbWrite || s.Verb == verbEdit {
			diffs = append(diffs, s.Diff())
		}
	}
	return diffs
}
