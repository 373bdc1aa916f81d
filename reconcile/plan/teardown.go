package plan

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render"
)

// Teardown is the plan of a teardown.
type Teardown struct {
	Memory       state.Memory
	facts        render.Facts
	o            Observed
	keepPackages bool
	Back         []Step // restores the units, the files and the rules
	Last         []Step // removes the packages and the memory
}

func (t *Teardown) add(s Step) { t.Back = append(t.Back, s) }

// PlanTeardown plans the steps that restore the host's state from before the first run. It changes nothing.
func PlanTeardown(ctx context.Context, o host.Observer, keepPackages bool) (*Teardown, error) {
	t := &Teardown{keepPackages: keepPackages}
	var err error
	if t.Memory, err = state.ReadMemory(ctx, o); err != nil {
		return nil, fmt.Errorf("cannot tell what was here before the first run, so nothing is undone: %w", err)
	}
	paths := search{FactFinder: FactFinder{Observer: o}}
	if err := paths.paths(ctx); err != nil {
		return nil, err
	}
	t.facts = paths.facts
	d := Desired{Units: []UnitWant{
		{Name: host.AgentUnit}, {Name: render.FirewallUnit}, {Name: render.HandoverUnit},
		{Name: host.KeepalivedUnit, Config: t.facts.KeepalivedConfig}, {Name: host.HAProxyUnit, Config: t.facts.HAProxyConfig},
	}}
	for _, name := range slices.Concat(t.Memory.Installed, slices.Collect(maps.Keys(t.Memory.Held))) {
		d.Packages = append(d.Packages, PackageWant{Name: name})
	}
	if t.o, err = Observe(ctx, o, d); err != nil {
		return nil, err
	}
	if len(t.o.Unchecked) > 0 { // what cannot be read would not be undone, and then be forgotten
		return nil, fmt.Errorf("cannot look at %s: %w", t.o.Unchecked[0], host.ErrUnavailable)
	}
	t.daemon()
	if !t.Memory.Known {
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

// unknown checks a host without a memory: either the agent never changed it, or its memory is lost.
func (t *Teardown) unknown(ctx context.Context, o host.Observer) error {
	var traces []string
	for _, family := range api.Families {
		if t.o.Firewall[family].Chain != nil {
			traces = append(traces, fmt.Sprintf("the %v chain %s", family, render.Chain))
		}
	}
	configs := []string{t.facts.HAProxyConfig, t.facts.KeepalivedConfig}
	var ours []string
	for _, name := range render.OwnUnits {
		ours = append(ours, host.UnitDir+name)
	}
	for _, path := range append(slices.Clone(configs), rcLocal) {
		ours = append(ours, state.BeforeDir+path)
	}
	for _, path := range append(configs, ours...) {
		f, err := o.File(ctx, path)
		if err != nil {
			return err
		}
		if f.Exists && (state.Rendered(f) || slices.Contains(ours, path)) {
			traces = append(traces, path)
		}
	}
	if len(traces) > 0 {
		return fmt.Errorf("cannot tell what was here before the first run: %s is gone, so nothing is undone or removed; parts of rlb-agent that are still here: %s",
			state.MemoryFile, strings.Join(traces, ", "))
	}
	for _, path := range state.DerivedFiles() {
		f, err := o.File(ctx, path)
		if errors.Is(err, host.ErrUnavailable) {
			return err
		}
		if err != nil || f.Exists {
			t.Last = []Step{Forget(host.RunDir)}
		}
	}
	return nil
}

// daemon stops the daemon first: it would repair what the teardown undoes.
func (t *Teardown) daemon() {
	if unit := t.o.Units[host.AgentUnit]; unit.Active() {
		t.add(stopUnit(host.AgentUnit))
	}
	if t.o.Units[host.AgentUnit].Enabled() {
		t.add(disableUnit(host.AgentUnit))
	}
	if t.o.Former != nil || t.o.Waiting { // the waiting process would start keepalived
		t.add(forgetFormer(nil))
	}
}

// ran reports whether a unit was active with a configuration of its own before the first run.
func (t *Teardown) ran(name string) bool {
	_, config := t.config(name)
	return t.Memory.Units[name].Active && (config.Exists || !config.Written)
}

// config is the path of a unit's configuration, and its state from before the first run.
func (t *Teardown) config(unit string) (path string, before state.Before) {
	path = map[string]string{host.HAProxyUnit: t.facts.HAProxyConfig, host.KeepalivedUnit: t.facts.KeepalivedConfig}[unit]
	return path, t.Memory.Files[path]
}

// stop stops the units that did not run before, while their unit files still exist. keepalived is first: its goodbye hands
// the virtual IPs to the peer while HAProxy still serves the open connections.
func (t *Teardown) stop() {
	for _, name := range []string{host.KeepalivedUnit, host.HAProxyUnit, render.HandoverUnit, render.FirewallUnit} {
		was, known := t.Memory.Units[name]
		if !known {
			continue
		}
		have := t.o.Units[name]
		if !t.ran(name) && have.Active() {
			t.add(stopUnit(name))
		}
		if have.Masked() && !was.Masked {
			t.add(unmaskUnit(name))
		}
		// systemd does not report whether a masked unit is enabled
		if !was.Enabled && !was.Masked && (have.Enabled() || have.Masked()) {
			t.add(disableUnit(name))
		}
	}
}

// units restores the state of the units: enabled as before, and running with their own files if they ran before.
func (t *Teardown) units() {
	for _, unit := range t.o.Units {
		if unit.NeedDaemonReload || t.changesUnits() {
			t.add(reloadManager())
			break
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.Memory.Units)) {
		was, have := t.Memory.Units[name], t.o.Units[name]
		if have.LoadState == "not-found" {
			continue // the administrator removed it since
		}
		if was.Enabled && !have.Enabled() {
			t.add(enableUnit(name))
		}
		path, config := t.config(name)
		switch {
		case !t.ran(name):
		case !have.Active():
			t.add(startUnit(name, path, 0, false))
		case t.o.Moved[name]:
			t.add(restartUnit(name, path, "whose configuration is now "+path))
		case config.Written && t.o.Loaded[name] != config.Digest:
			t.add(reloadUnit(name, path))
		}
	}
}

func (t *Teardown) changesUnits() bool {
	return slices.ContainsFunc(t.Back, func(s Step) bool {
		return s.Verb == verbRestore && strings.HasPrefix(s.Object, host.UnitDir)
	})
}
