package reconcile

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"rlb.dev/rlb-agent/render"
)

// agentUnit is the daemon's unit.
const agentUnit = "rlb-agent.service"

// Teardown makes the host what it was before the first run: what memory tells. Interrupted at any point, another one
// finishes it, since memory goes last. With keepPackages the packages that the agent brought stay, as apt left them.
func (r *Reconciler) Teardown(ctx context.Context, keepPackages bool) (Result, error) {
	start := time.Now()
	if err := r.Host.Ready(ctx); err != nil {
		return Result{}, err
	}
	run := run{Reconciler: r}
	var err error
	if run.memory, err = readMemory(ctx, r.Host); err != nil {
		return Result{}, &Failure{Err: err}
	}
	steps, err := run.teardown(ctx, keepPackages)
	if err == nil {
		run.first = Plan{Configure: steps}
		err = run.do(ctx, steps)
	}
	result := Result{Steps: run.done, Plan: run.first, Began: start, Time: time.Since(start)}
	if err != nil {
		return result, &Failure{Err: err}
	}
	return result, nil
}

// teardown are the steps back to the host of before the first run.
func (r *run) teardown(ctx context.Context, keepPackages bool) ([]Step, error) {
	m := r.memory
	d := Desired{Units: []UnitWant{{Name: agentUnit}, {Name: keepalivedUnit}, {Name: haproxyUnit}, {Name: render.FirewallUnit}}}
	for _, name := range slices.Concat(m.Installed, slices.Collect(maps.Keys(m.Held))) {
		d.Packages = append(d.Packages, PackageWant{Name: name})
	}
	o, err := Observe(ctx, r.Host, d)
	if err != nil {
		return nil, err
	}
	t := teardown{memory: m, o: o, keepPackages: keepPackages}
	t.daemon()
	t.services()
	t.files()
	t.firewall()
	t.units()
	t.packages()
	t.add(forget{})
	return t.steps, nil
}

type teardown struct {
	memory       Memory
	o            Observed
	keepPackages bool
	steps        []Step
	restored     map[string]bool
	manager      bool
}

func (t *teardown) add(s Step) { t.steps = append(t.steps, s) }

// daemon comes first: it would undo the undoing.
func (t *teardown) daemon() {
	if unit := t.o.Units[agentUnit]; unit.Active() {
		t.add(stopUnit{name: agentUnit})
	}
	if t.o.Units[agentUnit].Enabled() {
		t.add(disableUnit{agentUnit})
	}
}

// services stops what did not run before: keepalived first, whose farewell hands the virtual IP to the peer while
// HAProxy still serves the connections that are open.
func (t *teardown) services() {
	for _, name := range []string{keepalivedUnit, haproxyUnit} {
		was, known := t.memory.Units[name]
		if known && !was.Active && t.o.Units[name].Active() {
			t.add(stopUnit{name: name})
		}
	}
}

func (t *teardown) files() {
	t.restored = map[string]bool{}
	for _, path := range slices.Sorted(maps.Keys(t.memory.Files)) {
		before := t.memory.Files[path]
		if t.keepPackages && !before.Exists && before.Packaged != nil {
			before = *before.Packaged
		}
		have := t.o.Files[path]
		if have.Exists == before.Exists && (!have.Exists || t.same(have, before)) {
			continue
		}
		t.add(restoreFile{path: path, before: before, from: have})
		t.restored[path] = true
		t.manager = t.manager || strings.HasPrefix(path, "/etc/systemd/")
	}
}

// same says whether a file is already as it was. Its content is known by its digest.
func (t *teardown) same(have File, before Before) bool {
	return digest(have.Data) == before.Digest && have.Mode == before.Mode && have.UID == before.UID && have.GID == before.GID
}

func (t *teardown) firewall() {
	for _, family := range render.Families {
		have, known := t.o.Firewall[family]
		if !known {
			continue
		}
		step := loadFirewall{family: family, before: have, remove: true}
		for _, rule := range have.Input {
			if rule == render.Jump {
				step.drop = append(step.drop, rule)
			}
		}
		if family == render.IPv4 {
			for _, rule := range t.memory.Rules {
				if !slices.Contains(have.Input, rule) {
					step.add = append(step.add, rule)
				}
			}
		}
		if step.needed() {
			t.add(step)
		}
	}
}

// units gives the units the state of before: at boot as before, and those that ran then run with their own files.
func (t *teardown) units() {
	if t.manager {
		t.add(reloadManager{})
	}
	for _, name := range slices.Sorted(maps.Keys(t.memory.Units)) {
		was, have := t.memory.Units[name], t.o.Units[name]
		if have.Masked() {
			t.add(unmaskUnit{name: name})
		}
		if was.Enabled && !have.Enabled() {
			t.add(enableUnit{name: name})
		} else if !was.Enabled && have.Enabled() {
			t.add(disableUnit{name})
		}
		switch config := t.memory.configOf(name); {
		case was.Active && !have.Active():
			t.add(startUnit{name: name, config: config})
		case was.Active && t.restored[config]:
			t.add(reloadUnit{name: name, config: config})
		}
	}
}

func (t *teardown) packages() {
	for _, name := range slices.Sorted(maps.Keys(t.memory.Held)) {
		if held := t.memory.Held[name]; t.o.Packages[name].Held != held && t.o.Packages[name].Version != "" {
			t.add(holdPackage{name, held})
		}
	}
	if t.keepPackages {
		return
	}
	var purge []string
	for _, name := range t.memory.Installed {
		if p, known := t.o.Packages[name]; known && p.Present {
			purge = append(purge, name)
		}
	}
	if len(purge) > 0 {
		t.add(purgePackages{purge})
	}
}

// forget removes all that the agent kept. The memory is the last of it to go: as long as it is there, another teardown
// finishes this one.
type forget struct{}

func (forget) String() string { return "forget what the agent kept in " + StateDir }
func (forget) Diff() string   { return "" }
func (forget) undo() []Step   { return nil }

func (forget) apply(ctx context.Context, t *tools) error {
	for _, dir := range []string{generationsDir, beforeDir, packagedDir, memoryFile, StateDir, RunDir} {
		if err := t.host.RemoveTree(ctx, dir); err != nil {
			return err
		}
	}
	return nil
}
