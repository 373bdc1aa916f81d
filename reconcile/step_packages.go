package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// repairPackages finishes what an interrupted installation left half done.
type repairPackages struct{ plain }

func (repairPackages) String() string { return "repair packages that are half installed" }
func (repairPackages) apply(ctx context.Context, t *tools) error {
	return t.host.RepairPackages(ctx)
}

// installPackages brings packages that are missing or of a wrong version.
type installPackages struct {
	wants  []PackageWant
	before map[string]string // versions of those that were installed
}

func (s installPackages) String() string {
	var names []string
	for _, want := range s.wants {
		names = append(names, strings.TrimSuffix(want.Name+" "+want.Version, " "))
	}
	return "install " + strings.Join(names, ", ")
}

func (installPackages) Diff() string { return "" }

// undo brings back other versions. The reconciler purges what was newly brought.
func (s installPackages) undo() []Step {
	var wants []PackageWant
	for _, want := range s.wants {
		if version := s.before[want.Name]; version != "" {
			wants = append(wants, PackageWant{Name: want.Name, Version: version})
		}
	}
	if len(wants) == 0 {
		return nil
	}
	return []Step{installPackages{wants: wants, before: s.before}}
}

func (s installPackages) apply(ctx context.Context, t *tools) error {
	var packages []string
	for _, want := range s.wants {
		if want.Version != "" {
			packages = append(packages, want.Name+"="+want.Version)
		} else {
			packages = append(packages, want.Name)
		}
	}
	// Noted before it is done: whoever is killed on the way knows what may have come.
	additions, err := t.host.Additions(ctx, packages...)
	if err != nil {
		return err
	}
	known := slices.Clone(t.memory.Installed)
	if len(additions) > 0 {
		if err := t.memory.brought(ctx, t.host, additions); err != nil {
			return err
		}
	}
	brought, err := t.host.InstallPackages(ctx, packages...)
	if err != nil {
		// the lists may be missing, or older than what the archive holds now
		if refreshErr := t.host.RefreshPackages(ctx); refreshErr == nil {
			var more []string
			if more, err = t.host.Additions(ctx, packages...); err == nil && len(more) > 0 {
				err = t.memory.brought(ctx, t.host, more)
			}
			if err == nil {
				more, err = t.host.InstallPackages(ctx, packages...)
				brought = append(brought, more...)
			}
		}
	}
	t.brought = append(t.brought, brought...)
	if err == nil {
		return nil
	}
	t.memory.Installed = known
	return errors.Join(err, t.memory.brought(ctx, t.host, brought))
}

// purgePackages removes packages that the agent brought, with their configuration.
type purgePackages struct{ names []string }

func (s purgePackages) String() string { return "purge " + strings.Join(s.names, ", ") }
func (purgePackages) Diff() string     { return "" }
func (purgePackages) undo() []Step     { return nil }

// apply also puts back what a purge takes along: of a package's configuration, the file that was there before it.
func (s purgePackages) apply(ctx context.Context, t *tools) error {
	if err := t.host.PurgePackages(ctx, s.names...); err != nil {
		return fmt.Errorf("%w (rlb-agent teardown --keep-packages leaves the packages)", err)
	}
	for _, path := range slices.Sorted(maps.Keys(t.memory.Files)) {
		before := t.memory.Files[path]
		now, err := t.host.File(ctx, path)
		if err == nil && before.Exists && !now.Exists {
			err = restoreFile{path: path, before: before, keep: true}.apply(ctx, t)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// holdPackage keeps upgrades away from a package, or lets them come again.
type holdPackage struct {
	name string
	hold bool
}

func (s holdPackage) String() string {
	if s.hold {
		return "hold package " + s.name
	}
	return "release the hold of package " + s.name
}

func (holdPackage) Diff() string { return "" }

func (s holdPackage) apply(ctx context.Context, t *tools) error {
	if _, known := t.memory.Held[s.name]; !known {
		t.memory.Held[s.name] = !s.hold
		if err := t.memory.save(ctx, t.host); err != nil {
			return err
		}
	}
	if err := t.host.HoldPackage(ctx, s.name, s.hold); err != nil {
		return err
	}
	if t.memory.Held[s.name] != s.hold {
		return nil
	}
	delete(t.memory.Held, s.name) // as it was: what others do with it from now on is theirs
	return t.memory.save(ctx, t.host)
}

func (s holdPackage) undo() []Step { return []Step{holdPackage{s.name, !s.hold}} }

// Installs says whether a step works with apt or dpkg, and so may take long.
func Installs(s Step) bool {
	switch s.(type) {
	case installPackages, repairPackages, holdPackage:
		return true
	}
	return false
}
