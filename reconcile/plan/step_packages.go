package plan

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/reconcile/host"
)

// repairPackages finishes an interrupted installation.
func repairPackages() Step {
	return Step{Verb: "repair", Object: "packages", Text: "repair packages that are half installed", Slow: true, Do: func(ctx context.Context, t *Tools) error {
		return t.Host.RepairPackages(ctx)
	}}
}

// installPackages installs packages that are missing or have a wrong version. before are the versions of the installed
// ones, which are installed again when the step is undone. The reconciler purges the newly installed packages.
func installPackages(wants []PackageWant, before map[string]string) Step {
	var back []PackageWant
	for _, want := range wants {
		if version := before[want.Name]; version != "" {
			back = append(back, PackageWant{Name: want.Name, Version: version})
		}
	}
	s := bringPackages(wants)
	if len(back) > 0 {
		s.Undo = []Step{bringPackages(back)}
	} else {
		s.Drift = "package " + s.Object + " was removed: installed"
		if len(wants) > 1 {
			s.Drift = "packages " + s.Object + " were removed: installed"
		}
	}
	return s
}

func bringPackages(wants []PackageWant) Step {
	var names, packages []string
	for _, want := range wants {
		names = append(names, strings.TrimSuffix(want.Name+" "+want.Version, " "))
		packages = append(packages, strings.TrimSuffix(want.Name+"="+want.Version, "="))
	}
	list := strings.Join(names, ", ")
	return Step{Verb: "install", Object: list, Text: "install " + list, Slow: true, Do: func(ctx context.Context, t *Tools) error {
		return t.install(ctx, packages)
	}}
}

// install installs packages. The packages that may be installed are recorded before: after a kill in between, the next run
// knows them.
func (t *Tools) install(ctx context.Context, packages []string) error {
	additions, err := t.Host.Additions(ctx, packages...)
	if err != nil {
		return err
	}
	known := slices.Clone(t.Memory.Installed)
	if len(additions) > 0 {
		if err := t.Memory.Brought(ctx, t.Host, additions); err != nil {
			return err
		}
	}
	brought, err := t.Host.InstallPackages(ctx, packages...)
	if err != nil {
		// the package lists may be missing or older than the archive
		if refreshErr := t.Host.RefreshPackages(ctx); refreshErr != nil {
			err = fmt.Errorf("%w (and %w)", err, refreshErr)
		} else {
			var more []string
			if more, err = t.Host.Additions(ctx, packages...); err == nil && len(more) > 0 {
				err = t.Memory.Brought(ctx, t.Host, more)
			}
			if err == nil {
				more, err = t.Host.InstallPackages(ctx, packages...)
				brought = append(brought, more...)
			}
		}
	}
	t.Brought = append(t.Brought, brought...)
	if err == nil {
		return nil
	}
	t.Memory.Installed = known
	return errors.Join(err, t.Memory.Brought(ctx, t.Host, brought))
}

// purgePackages removes packages that the agent installed, with their configuration. The purge also removes configuration
// files that existed before the package; the step restores them.
func purgePackages(names []string) Step {
	list := strings.Join(names, ", ")
	return Step{Verb: "purge", Object: list, Text: "purge " + list, Do: func(ctx context.Context, t *Tools) error {
		if err := t.Host.PurgePackages(ctx, names...); err != nil {
			return fmt.Errorf("%w (rlb-agent teardown --keep-packages leaves the packages)", err)
		}
		for _, path := range slices.Sorted(maps.Keys(t.Memory.Files)) {
			before := t.Memory.Files[path]
			now, err := t.Host.File(ctx, path)
			if err == nil && before.Exists && !now.Exists {
				err = restoreFile(path, before, host.File{}, true).Do(ctx, t)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}}
}

// holdPackage holds a package at its version, or releases the hold.
func holdPackage(name string, hold bool) Step {
	return setHold(name, hold).undoneBy(setHold(name, !hold))
}

func setHold(name string, hold bool) Step {
	s := Step{Verb: "hold", Object: name, Text: "hold package " + name, Drift: "the hold of package " + name + " was taken away: held again (packages.hold); rlb-agent upgrade brings newer versions in", Slow: true}
	if !hold {
		s.Verb, s.Text, s.Drift = "unhold", "release the hold of package "+name, "package "+name+" was held: released"
	}
	s.Do = func(ctx context.Context, t *Tools) error {
		if _, known := t.Memory.Held[name]; !known {
			t.Memory.Held[name] = !hold
			if err := t.Memory.Save(ctx, t.Host); err != nil {
				return err
			}
		}
		if err := t.Host.HoldPackage(ctx, name, hold); err != nil {
			return err
		}
		if t.Memory.Held[name] != hold {
			return nil
		}
		delete(t.Memory.Held, name) // the original state: later changes by others are left alone
		return t.Memory.Save(ctx, t.Host)
	}
	return s
}
