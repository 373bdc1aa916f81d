package plan

import (
	"context"
	"errors"
	"slices"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
)

// Look is the result of planning. It is all that a dry run, a diff or a status needs. To look changes nothing.
type Look struct {
	Desired  Desired
	Observed Observed
	Plan     Plan
	Notes    []string  // assumptions, in words
	Began    time.Time // later changes of the host may be missing
}

// Look finds the desired state, the observed state and the difference.
func (f FactFinder) Look(ctx context.Context, spec *api.LoadBalancerSpec) (Look, error) {
	units := host.AskUnits(ctx, f.Observer, append([]string{host.HAProxyUnit, host.KeepalivedUnit}, render.OwnUnits...)...)
	defer units.Wait()
	f.Observer = units
	look, err := f.want(ctx, spec)
	if err != nil {
		return look, err
	}
	observed, err := Observe(ctx, f.Observer, look.Desired)
	if err != nil {
		return Look{Notes: look.Notes}, err
	}
	look.Desired.ApplyRuntimeState(observed)
	look.Observed, look.Plan = observed, NewPlan(look.Desired, observed)
	return look, nil
}

// Rendering finds the desired state. Of the host it reads only what is needed to render the files and to know which of them
// the installed programs can check. The result has no plan.
func (f FactFinder) Rendering(ctx context.Context, spec *api.LoadBalancerSpec) (Look, error) {
	look, err := f.want(ctx, spec)
	if err != nil {
		return look, err
	}
	packages, err := f.Observer.Packages(ctx, "haproxy", "keepalived")
	if err != nil && !errors.Is(err, host.ErrUnavailable) {
		return Look{Notes: look.Notes}, err
	}
	look.Observed.Packages = map[string]host.Package{}
	for _, p := range packages {
		look.Observed.Packages[p.Name] = p
	}
	return look, nil
}

// want finds the desired state.
func (f FactFinder) want(ctx context.Context, spec *api.LoadBalancerSpec) (Look, error) {
	began := time.Now()
	facts, notes, err := f.Find(ctx, spec)
	if err != nil {
		return Look{Notes: notes}, err
	}
	desired, err := Want(spec, facts)
	if err == nil && f.Wanted != nil {
		f.Wanted(desired)
	}
	return Look{Desired: desired, Notes: notes, Began: began}, err
}

// ChangesRouter reports whether the plan makes keepalived read a different configuration.
func (l Look) ChangesRouter() bool { return l.writes(l.Desired.Facts.KeepalivedConfig) }

// ChangesPrograms reports whether the plan combines a configuration and a program that did not run together before: it
// changes the configuration of HAProxy or keepalived, or one of the two programs was replaced.
func (l Look) ChangesPrograms() bool { return l.changesHAProxy() || l.changesKeepalived() }

func (l Look) changesHAProxy() bool {
	return l.changes("haproxy", host.HAProxyUnit, l.Desired.Facts.HAProxyConfig)
}

func (l Look) changesKeepalived() bool {
	return l.changes("keepalived", host.KeepalivedUnit, l.Desired.Facts.KeepalivedConfig)
}

func (l Look) changes(program, unit, config string) bool {
	return l.writes(config) || slices.ContainsFunc(l.Plan.Configure, func(s Step) bool {
		return s.Verb == verbCheck && s.Object == program ||
			(s.Verb == verbReload || s.Verb == verbRestart) && s.Object == unit && l.Observed.Units[unit].Replaced
	})
}

// Running is the configuration that a running unit has loaded, if it is still the file at that path; else nil.
func (l Look) Running(unit, config string) []byte {
	file := l.Observed.Files[config]
	if loaded := l.Observed.Loaded[unit]; loaded == "" || loaded != host.Digest(file.Data) {
		return nil
	}
	return file.Data
}

func (l Look) writes(path string) bool {
	return slices.ContainsFunc(l.Plan.Configure, func(s Step) bool { return s.Verb == verbWrite && s.Object == path })
}

// FileDiffs are the changes of files in the plan, as unified diffs.
func (l Look) FileDiffs() []string {
	var diffs []string
	for _, s := range l.Plan.Configure {
		if s.Verb == verbWrite || s.Verb == verbEdit {
			diffs = append(diffs, s.Diff())
		}
	}
	return diffs
}
