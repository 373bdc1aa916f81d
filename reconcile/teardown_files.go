package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
)

// files brings back the files of before. That all of them can come back is seen before anything is undone.
func (t *teardown) files(ctx context.Context, o host.Observer) error {
	for _, path := range slices.Sorted(maps.Keys(t.memory.Files)) {
		before := t.memory.Files[path]
		if t.keepPackages && !before.Exists && before.Packaged != nil {
			before = *before.Packaged
		}
		have := t.o.Files[path]
		if have.Exists == before.Exists && (!have.Exists || before.is(have)) {
			continue
		}
		restore := restoreFile{path: path, before: before, from: have, keep: true}
		original, err := restore.original(ctx, o)
		if err != nil {
			return err
		}
		if before.Edited && have.Exists && !within(have.Data, original.Data) {
			// the user's own file, and the user wrote in it since
			aside := have
			aside.Path = path + ".replaced"
			t.add(setAside{aside})
		}
		t.add(restore)
	}
	return nil
}

// is says whether a file is as it was. Its content is known by its digest.
func (b Before) is(f host.File) bool {
	return digest(f.Data) == b.Digest && f.Mode == b.Mode && f.UID == b.UID && f.GID == b.GID
}

// within says whether all lines of some are in all, in the same order.
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

// setAside keeps what a user wrote into a file whose original comes back.
type setAside struct{ file host.File }

func (s setAside) String() string { return "keep what was edited since as " + s.file.Path }
func (setAside) Diff() string     { return "" }
func (setAside) undo() []Step     { return nil }
func (s setAside) apply(ctx context.Context, t *tools) error {
	return t.host.WriteFile(ctx, s.file.Path, s.file.Data, s.file.Mode, s.file.UID, s.file.GID)
}

// firewall takes the agent's chain away, and brings back the original's rules at their place.
func (t *teardown) firewall() {
	for _, family := range render.Families {
		have, known := t.o.Firewall[family]
		if !known {
			continue
		}
		step := loadFirewall{family: family, before: have, remove: true}
		var rest []string
		for _, rule := range have.Input {
			if rule == render.Jump {
				step.drop = append(step.drop, rule)
			} else {
				rest = append(rest, rule)
			}
		}
		if family == render.IPv4 {
			step.add = comeBack(rest, t.memory.Input, t.memory.Rules)
		}
		if step.needed() {
			t.add(step)
		}
	}
}

// packages takes away the holds and the packages that the agent brought.
func (t *teardown) packages() {
	for _, name := range slices.Sorted(maps.Keys(t.memory.Held)) {
		if held := t.memory.Held[name]; t.o.Packages[name].Held != held {
			t.last = append(t.last, holdPackage{name, held})
		}
	}
	if t.keepPackages {
		return
	}
	var purge []string
	broken := false
	for _, name := range t.memory.Installed {
		if p := t.o.Packages[name]; p.Present {
			purge = append(purge, name)
			broken = broken || p.Broken
		}
	}
	if broken { // apt does nothing before that is mended
		t.last = append(t.last, repairPackages{})
	}
	if len(purge) > 0 {
		t.last = append(t.last, purgePackages{purge})
	}
}

// forget comes last; but what the administrator has to do must be said after all that the agent can.
func (t *teardown) forget() {
	var masks []Step
	for _, name := range slices.Sorted(maps.Keys(t.memory.Units)) {
		if t.memory.Units[name].Masked && !t.o.Units[name].Masked() {
			t.last = append(t.last, maskUnit{name})
			masks = append(masks, remaskUnit{name})
		}
	}
	t.last = append(t.last, forget{dirs: []string{generationsDir, beforeDir, packagedDir, host.RunDir, host.StateDir}})
	t.last = append(t.last, masks...)
}

// forget removes all that the agent kept. The memory is the last of it to go, and before it says that there is nothing
// left to undo: as long as it is there, another teardown finishes this one.
type forget struct{ dirs []string }

func (forget) String() string { return "forget what the agent kept in " + host.StateDir }
func (forget) Diff() string   { return "" }
func (forget) undo() []Step   { return nil }

func (s forget) apply(ctx context.Context, t *tools) error {
	if slices.Contains(s.dirs, host.StateDir) {
		blank := newMemory()
		if err := blank.save(ctx, t.host); err != nil {
			return fmt.Errorf("cannot note that all is undone: %w", err)
		}
	}
	for _, dir := range s.dirs {
		if err := t.host.RemoveTree(ctx, dir); err != nil {
			return err
		}
	}
	return nil
}
