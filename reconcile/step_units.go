package reconcile

import (
	"context"
	"fmt"
	"time"
)

// maskUnit keeps a unit from being started by its package's install script, before its files are checked and in place.
type maskUnit struct{ name string }

func (s maskUnit) String() string { return "keep " + s.name + " from starting before it is configured" }
func (s maskUnit) Diff() string   { return "" }
func (s maskUnit) apply(ctx context.Context, t *tools) error {
	return t.host.MaskUnit(ctx, s.name)
}
func (s maskUnit) undo() []Step { return []Step{unmaskUnit{name: s.name}} }

// unmaskUnit lets a unit start again.
type unmaskUnit struct {
	name    string
	forGood bool // it was masked by somebody else than the agent, whose masks end with a reboot
}

func (s unmaskUnit) String() string { return "unmask " + s.name }
func (s unmaskUnit) Diff() string   { return "" }
func (s unmaskUnit) apply(ctx context.Context, t *tools) error {
	return t.host.UnmaskUnit(ctx, s.name)
}
func (s unmaskUnit) undo() []Step {
	if s.forGood {
		return []Step{remaskUnit{s.name}}
	}
	return nil
}

// remaskUnit masks a unit again that its administrator had masked.
type remaskUnit struct{ name string }

func (s remaskUnit) String() string { return "mask " + s.name + " for good" }
func (s remaskUnit) Diff() string   { return "" }
func (s remaskUnit) undo() []Step   { return nil }
func (s remaskUnit) apply(ctx context.Context, t *tools) error {
	if err := t.host.MaskUnit(ctx, s.name); err != nil {
		return err
	}
	return fmt.Errorf("it is masked until the next boot only: run systemctl mask %s", s.name)
}

// reloadManager makes systemd read changed unit files.
type reloadManager struct{}

func (reloadManager) String() string { return "make systemd read its changed units" }
func (reloadManager) Diff() string   { return "" }
func (reloadManager) apply(ctx context.Context, t *tools) error {
	return t.host.ReloadManager(ctx)
}
func (reloadManager) undo() []Step { return []Step{reloadManager{}} }

// enableUnit makes a unit start at boot.
type enableUnit struct {
	name string
	was  bool
}

func (s enableUnit) String() string { return "enable " + s.name }
func (s enableUnit) Diff() string   { return "" }
func (s enableUnit) apply(ctx context.Context, t *tools) error {
	return t.host.EnableUnit(ctx, s.name)
}
func (s enableUnit) undo() []Step {
	if s.was {
		return nil
	}
	return []Step{disableUnit{s.name}}
}

// disableUnit makes a unit not start at boot.
type disableUnit struct{ name string }

func (s disableUnit) String() string { return "disable " + s.name }
func (s disableUnit) Diff() string   { return "" }
func (s disableUnit) apply(ctx context.Context, t *tools) error {
	return t.host.DisableUnit(ctx, s.name)
}
func (s disableUnit) undo() []Step { return []Step{enableUnit{name: s.name}} }

// startUnit starts a unit that is not running. One that has just died may have to rest before (UnitWant).
type startUnit struct {
	name, config string
	rest         time.Duration
}

func (s startUnit) String() string { return "start " + s.name }
func (s startUnit) Diff() string   { return "" }
func (s startUnit) apply(ctx context.Context, t *tools) error {
	if s.rest > 0 {
		unit, err := t.host.Unit(ctx, s.name)
		if err != nil {
			return err
		}
		time.Sleep(min(unit.Rests(s.rest), s.rest)) // whatever the clock was set to meanwhile
	}
	return t.host.StartUnit(ctx, s.name)
}
func (s startUnit) undo() []Step { return []Step{stopUnit{name: s.name}} }

// stopUnit stops a unit.
type stopUnit struct {
	name  string
	again bool // it is to run again where this is undone
}

func (s stopUnit) String() string { return "stop " + s.name }
func (s stopUnit) Diff() string   { return "" }
func (s stopUnit) apply(ctx context.Context, t *tools) error {
	return t.host.StopUnit(ctx, s.name)
}
func (s stopUnit) undo() []Step {
	if s.again {
		return []Step{startUnit{name: s.name}}
	}
	return nil
}

// reloadUnit makes a running unit read its configuration, without a stop.
type reloadUnit struct{ name, config string }

func (s reloadUnit) String() string { return "reload " + s.name }
func (s reloadUnit) Diff() string   { return "" }
func (s reloadUnit) apply(ctx context.Context, t *tools) error {
	if err := forgetLoaded(ctx, t.host, s.name); err != nil {
		return err
	}
	unit, err := t.host.Unit(ctx, s.name)
	if err != nil {
		return err
	}
	if !unit.Active() { // somebody has stopped it meanwhile
		return t.host.StartUnit(ctx, s.name)
	}
	return t.host.ReloadUnit(ctx, s.name)
}
func (s reloadUnit) undo() []Step { return []Step{reloadUnit(s)} }

// restartUnit makes a unit read its configuration at another place: on a reload its process would look at the place
// of its start.
type restartUnit struct{ name, config string }

func (s restartUnit) String() string {
	return "restart " + s.name + ", whose configuration is now " + s.config
}
func (s restartUnit) Diff() string { return "" }
func (s restartUnit) apply(ctx context.Context, t *tools) error {
	return t.host.RestartUnit(ctx, s.name)
}
func (s restartUnit) undo() []Step { return []Step{restartUnit(s)} }
