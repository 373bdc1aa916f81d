package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
)

// agentUnit is the daemon's unit.
const agentUnit = "rlb-agent.service"

// Teardown makes the host what it was before the first run: what memory tells. Interrupted at any point, another one
// finishes it, since memory goes last. With keepPackages the packages that the agent brought stay, as apt left them.
// Where the memory is lost, nothing is done by guess.
func (r *Reconciler) Teardown(ctx context.Context, keepPackages bool) (Result, error) {
	start := time.Now()
	if err := r.Host.Ready(ctx); err != nil {
		return Result{}, err
	}
	run := run{Reconciler: r}
	err := run.teardown(ctx, keepPackages)
	result := Result{Steps: run.done, Plan: run.first, Began: start, Time: time.Since(start)}
	if err != nil {
		return result, &Failure{Err: err}
	}
	return result, nil
}

func (r *run) teardown(ctx context.Context, keepPackages bool) error {
	t, err := planTeardown(ctx, r.Host, keepPackages)
	if err != nil {
		return err
	}
	r.memory, r.first = t.memory, Plan{Configure: slices.Concat(t.back, t.last)}
	if err := r.EndTrial(ctx); err != nil {
		return err
	}
	now := takeBaseline(ctx, r.Host)
	if err := r.do(ctx, t.back); err != nil {
		return err
	}
	// nothing is forgotten before it is seen that what ran before runs again
	if err := r.servesAgain(ctx, t.back, now); err != nil {
		return err
	}
	return r.do(ctx, t.last)
}

// teardown is the plan of one.
type teardown struct {
	memory       Memory
	known        bool // there is a memory
	facts        render.Facts
	o            Observed
	keepPackages bool
	back         []Step // the units, the files and the rules of before
	last         []Step // the packages, and the memory
}

func (t *teardown) add(s Step) { t.back = append(t.back, s) }

// planTeardown finds the way back to the host of before the first run. It changes nothing.
func planTeardown(ctx context.Context, o host.Observer, keepPackages bool) (*teardown, error) {
	t := &teardown{keepPackages: keepPackages}
	file, err := o.File(ctx, memoryFile)
	if err != nil {
		return nil, err
	}
	t.known = file.Exists
	if t.memory, err = readMemory(ctx, o); err != nil {
		return nil, fmt.Errorf("cannot tell what was here before the first run, so nothing is undone: %w", err)
	}
	paths := search{FactFinder: FactFinder{Observer: o}}
	if err := paths.paths(ctx); err != nil {
		return nil, err
	}
	t.facts = paths.facts
	d := Desired{Units: []UnitWant{
		{Name: agentUnit}, {Name: render.FirewallUnit},
		{Name: host.KeepalivedUnit, Config: t.facts.KeepalivedConfig}, {Name: host.HAProxyUnit, Config: t.facts.HAProxyConfig},
	}}
	for _, name := range slices.Concat(t.memory.Installed, slices.Collect(maps.Keys(t.memory.Held))) {
		d.Packages = append(d.Packages, PackageWant{Name: name})
	}
	if t.o, err = Observe(ctx, o, d); err != nil {
		return nil, err
	}
	if len(t.o.Unchecked) > 0 { // what is not seen would not be undone, and then forgotten
		return nil, fmt.Errorf("cannot look at %s: %w", t.o.Unchecked[0], host.ErrUnavailable)
	}
	t.daemon()
	if !t.known {
		return t, t.unknown(ctx, o)
	}
	t.stop()
	if err := t.files(ctx, o); err != nil {
		return nil, err
	}
	t.firewall()
	t.units()
	t.packages()
	t.forget()
	return t, nil
}

// unknown is a host without a memory: none of ours, or one whose memory is lost.
func (t *teardown) unknown(ctx context.Context, o host.Observer) error {
	var traces []string
	for _, family := range render.Families {
		if t.o.Firewall[family].Chain != nil {
			traces = append(traces, fmt.Sprintf("the %v chain %s", family, render.Chain))
		}
	}
	configs := []string{t.facts.HAProxyConfig, t.facts.KeepalivedConfig}
	ours := []string{systemdUnits + render.FirewallUnit}
	for _, path := range append(slices.Clone(configs), rcLocal) {
		ours = append(ours, beforeDir+path)
	}
	for _, path := range append(configs, ours...) {
		f, err := o.File(ctx, path)
		if err != nil {
			return err
		}
		if f.Exists && (rendered(f) || slices.Contains(ours, path)) {
			traces = append(traces, path)
		}
	}
	if len(traces) > 0 {
		return fmt.Errorf("cannot tell what was here before the first run: %s is gone, so nothing is undone and nothing removed by guess; what is here of rlb-agent: %s",
			memoryFile, strings.Join(traces, ", "))
	}
	for _, path := range []string{StatusFile, loadedFile} {
		if f, err := o.File(ctx, path); err != nil {
			return err
		} else if f.Exists {
			t.last = []Step{forget{dirs: []string{host.RunDir}}}
		}
	}
	return nil
}

// daemon comes first: it would undo the undoing.
func (t *teardown) daemon() {
	if unit := t.o.Units[agentUnit]; unit.Active() {
		t.add(stopUnit{name: agentUnit})
	}
	if t.o.Units[agentUnit].Enabled() {
		t.add(disableUnit{agentUnit})
	}
	if t.o.Former != nil { // who waits would start keepalived
		t.add(forgetFormer{})
	}
}

// ran says whether a unit was active with a file of its own before the first run.
func (t *teardown) ran(name string) bool {
	config, written := t.config(name)
	return t.memory.Units[name].Active && (config.Exists || !written)
}

// config is the file of before of a unit, and whether the agent has written it since.
func (t *teardown) config(unit string) (before Before, written bool) {
	before = t.memory.Files[map[string]string{host.HAProxyUnit: t.facts.HAProxyConfig, host.KeepalivedUnit: t.facts.KeepalivedConfig}[unit]]
	return before, before.Written
}

// stop ends what did not run before, while the unit files are there: keepalived first, whose farewell hands the virtual
// IP to the peer while HAProxy still serves the connections that are open.
func (t *teardown) stop() {
	for _, name := range []string{host.KeepalivedUnit, host.HAProxyUnit, render.FirewallUnit} {
		was, known := t.memory.Units[name]
		if !known {
			continue
		}
		have := t.o.Units[name]
		if !t.ran(name) && have.Active() {
			t.add(stopUnit{name: name})
		}
		if have.Masked() && !was.Masked {
			t.add(unmaskUnit{name: name})
		}
		// of a masked unit nobody tells whether it is enabled
		if !was.Enabled && !was.Masked && (have.Enabled() || have.Masked()) {
			t.add(disableUnit{name})
		}
	}
}

// units gives the units the state of before: at boot as before, and those that ran then run with their own files.
func (t *teardown) units() {
	for _, unit := range t.o.Units {
		if unit.NeedDaemonReload || t.changesUnits() {
			t.add(reloadManager{})
			break
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.memory.Units)) {
		was, have := t.memory.Units[name], t.o.Units[name]
		if have.LoadState == "not-found" {
			continue // its administrator took it away since
		}
		if was.Enabled && !have.Enabled() {
			t.add(enableUnit{name: name})
		}
		config, written := t.config(name)
		path := map[string]string{host.HAProxyUnit: t.facts.HAProxyConfig, host.KeepalivedUnit: t.facts.KeepalivedConfig}[name]
		switch {
		case !t.ran(name):
		case !have.Active():
			t.add(startUnit{name: name, config: path})
		case t.o.Moved[name]:
			t.add(restartUnit{name: name, config: path})
		case written && t.o.Loaded[name] != config.Digest:
			t.add(reloadUnit{name: name, config: path})
		}
	}
}

func (t *teardown) changesUnits() bool {
	return slices.ContainsFunc(t.back, func(s Step) bool {
		restore, ok := s.(restoreFile)
		return ok && strings.HasPrefix(restore.path, systemdUnits)
	})
}
