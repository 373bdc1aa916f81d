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

// Rendering finds what the spec wants of the host, and of the host only what is needed to render it and to know which of
// the files its programs can check. It has no plan.
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

// want finds what the spec wants of the host.
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

// ChangesRouter says whether the plan makes keepalived read another configuration.
func (l Look) ChangesRouter() bool { return l.writes(l.Desired.Facts.KeepalivedConfig) }

// ChangesPrograms says whether the plan brings a configuration and a program together that were not before: it changes
// what HAProxy or keepalived read, or one of them is another program than before.
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

// Running is the configuration that a running unit has loaded, which lies at that path; nil where that is not known.
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
