package plan

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render"
)

// files restores the files from before the first run. It checks that all of them can be restored before anything is undone.
func (t *Teardown) files(ctx context.Context, o host.Observer) error {
	for _, path := range slices.Sorted(maps.Keys(t.Memory.Files)) {
		before := t.Memory.Files[path]
		if t.keepPackages && !before.Exists && before.Packaged != nil {
			before = *before.Packaged
		}
		have := t.o.Files[path]
		if have.Exists == before.Exists && (!have.Exists || before.Is(have)) {
			continue
		}
		kept, err := original(ctx, o, path, before)
		if err != nil {
			return err
		}
		if before.Edited && have.Exists && !within(have.Data, kept.Data) {
			// the user's own file, which the user edited since
			aside := have
			aside.Path = path + ".replaced"
			t.add(setAside(aside))
		}
		t.add(restoreFile(path, before, have, true))
	}
	return nil
}

// within reports whether all lines of some are in all, in the same order.
func within(some, all []byte) bool {
	rest := slices.Collect(strings.Lines(string(all)))
	for line := range strings.Lines(string(some)) {
		i := slices.Index(rest, line)
		if i < 0 {
			return false
		}
		rest = rest[i+1:]
	}
	return true
}

// setAside keeps what a user wrote into a file whose original is restored.
func setAside(file host.File) Step {
	return Step{Verb: "keep", Object: file.Path, Text: "keep what was edited since as " + file.Path, Do: func(ctx context.Context, t *Tools) error {
		return t.Host.WriteFile(ctx, file.Path, file.Data, file.Mode, file.UID, file.GID)
	}}
}

// firewall removes the agent's chain and restores the rules of the original system at their positions.
func (t *Teardown) firewall() {
	for _, family := range api.Families {
		have, known := t.o.Firewall[family]
		if !known {
			continue
		}
		change := firewallChange{family: family, before: have, remove: true}
		var rest []string
		for _, rule := range have.Input {
			if rule == render.Jump {
				change.drop = append(change.drop, rule)
			} else {
				rest = append(rest, rule)
			}
		}
		if family == api.IPv4 {
			change.add = comeBack(rest, t.Memory.Input, t.Memory.Rules)
		}
		if change.needed() {
			t.add(change.step())
		}
	}
}

// packages removes the holds and the packages that the agent added.
func (t *Teardown) packages() {
	for _, name := range slices.Sorted(maps.Keys(t.Memory.Held)) {
		if held := t.Memory.Held[name]; t.o.Packages[name].Held != held {
			t.Last = append(t.Last, holdPackage(name, held))
		}
	}
	if t.keepPackages {
		return
	}
	var purge []string
	broken := false
	for _, name := range t.Memory.Installed {
		if p := t.o.Packages[name]; p.Present {
			purge = append(purge, name)
			broken = broken || p.Broken
		}
	}
	if broken { // apt refuses all else before the repair
		t.Last = append(t.Last, repairPackages())
	}
	if len(purge) > 0 {
		t.Last = append(t.Last, purgePackages(purge))
	}
}

// forget is the last part of the agent's work. Steps that the administrator must finish come after it.
func (t *Teardown) forget() {
	var masks []Step
	for _, name := range slices.Sorted(maps.Keys(t.Memory.Units)) {
		if t.Memory.Units[name].Masked && !t.o.Units[name].Masked() {
			t.Last = append(t.Last, maskUnit(name))
			masks = append(masks, remaskUnit(name))
		}
	}
	t.Last = append(t.Last, Forget(state.GenerationsDir, state.BeforeDir, state.PackagedDir, host.StateDir, host.RunDir)) // the lock last: a process may wait for it
	t.Last = append(t.Last, masks...)
}

// Forget removes the agent's directories. The memory is removed after what it lists, and is first replaced by an empty one.
// While the memory lists something to undo, a further teardown finishes this one.
func Forget(dirs ...string) Step {
	return Step{Verb: "forget", Object: host.StateDir, Text: "forget what the agent kept in " + host.StateDir, Do: func(ctx context.Context, t *Tools) error {
		if slices.Contains(dirs, host.StateDir) {
			blank := state.NewMemory()
			if err := blank.Save(ctx, t.Host); err != nil {
				return fmt.Errorf("cannot note that all is undone: %w", err)
			}
		}
		for _, dir := range dirs {
			if err := t.Host.RemoveTree(ctx, dir); err != nil {
				return err
			}
		}
		return nil
	}}
}
