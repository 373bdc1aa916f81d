package plan

import (
	"context"
	"fmt"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
)

const verbReload = "reload"

// unitStep is a step with one call of the host for a unit.
func unitStep(verb, name string, do func(h host.Host, ctx context.Context, name string) error) Step {
	return Step{Verb: verb, Object: name, Text: verb + " " + name, Do: func(ctx context.Context, t *Tools) error {
		return do(t.Host, ctx, name)
	}}
}

// maskUnit prevents the install script of a package from starting a unit before the unit's files are checked and written.
func maskUnit(name string) Step {
	s := unitStep("mask", name, host.Host.MaskUnit).undoneBy(unmaskUnit(name))
	s.Text = "keep " + name + " from starting before it is configured"
	return s
}

// unmaskUnit allows a unit to start again.
func unmaskUnit(name string) Step {
	s := unitStep("unmask", name, host.Host.UnmaskUnit)
	s.Drift = name + " was masked: unmasked"
	return s
}

// remaskUnit masks a unit again that the administrator had masked permanently. The agent's own masks end with a reboot.
func remaskUnit(name string) Step {
	s := unitStep("mask", name, func(h host.Host, ctx context.Context, name string) error {
		if err := h.MaskUnit(ctx, name); err != nil {
			return err
		}
		return fmt.Errorf("it is masked until the next boot only: run systemctl mask %s", name)
	})
	s.Text, s.Rank = "mask "+name+" for good", RankStart
	return s
}

// reloadManager makes systemd read changed unit files.
func reloadManager() Step {
	s := Step{Verb: "daemon-reload", Object: "systemd", Text: "make systemd read its changed units", Do: func(ctx context.Context, t *Tools) error {
		return t.Host.ReloadManager(ctx)
	}}
	return s.undoneBy(s)
}

// enableUnit makes a unit start at boot.
func enableUnit(name string) Step {
	s := unitStep("enable", name, host.Host.EnableUnit)
	s.Rank, s.Drift = RankEnable, name+" was disabled: enabled"
	return s
}

// disableUnit prevents a unit from starting at boot.
func disableUnit(name string) Step {
	s := unitStep("disable", name, host.Host.DisableUnit)
	s.Rank = RankDisable
	return s.undoneBy(enableUnit(name))
}

// A start waits for a unit that is being stopped: it would cancel the stop, and the caller of the stop would see it fail.
const (
	stopTime  = 10 * time.Second // at most; a HAProxy that hands over takes slightly more than render.ForwardTime
	stopPause = 50 * time.Millisecond
)

// startUnit starts a unit that is not running. After a failure the unit rests first (UnitWant). rewritten means that its
// file has just changed: if another process has started the unit since the look, it may run the old file.
func startUnit(name, config string, rest time.Duration, rewritten bool) Step {
	s := unitStep("start", name, func(h host.Host, ctx context.Context, name string) error {
		unit, err := h.Unit(ctx, name)
		for end := time.Now().Add(stopTime); err == nil && unit.ActiveState == "deactivating" && time.Now().Before(end); {
			time.Sleep(stopPause)
			unit, err = h.Unit(ctx, name)
		}
		if err != nil {
			return err
		}
		if rest > 0 {
			time.Sleep(min(unit.Rests(rest), rest)) // the limit holds even if the clock was set meanwhile
		}
		switch {
		case !rewritten || unit.MainPID == 0:
			return h.StartUnit(ctx, name)
		case name == host.HAProxyUnit && unit.Active():
			return h.ReloadUnit(ctx, name)
		}
		return h.RestartUnit(ctx, name)
	})
	s.Loads, s.Serving, s.Rank = Load{name, config}, true, RankStart
	s.Drift = name + " did not run: started"
	return s.undoneBy(stopUnit(name))
}

// start is the step that starts the unit. The stop of a unit without a process needs the unit file, which holds the stop
// command.
func (want UnitWant) start(rewritten bool) Step {
	s := startUnit(want.Name, want.Config, want.Rest, rewritten)
	if want.Loads() {
		s.Undo[0].Rank = RankDisable
	}
	return s
}

// stopUnit stops a unit.
func stopUnit(name string) Step { return unitStep("stop", name, host.Host.StopUnit) }

// pauseUnit stops a unit; to undo the step starts it again.
func pauseUnit(name string) Step { return stopUnit(name).undoneBy(startUnit(name, "", 0, false)) }

// reloadUnit makes a running unit read its configuration, without a stop.
func reloadUnit(name, config string) Step {
	s := unitStep(verbReload, name, func(h host.Host, ctx context.Context, name string) error {
		if err := state.ForgetLoaded(ctx, h, name); err != nil {
			return err
		}
		unit, err := h.Unit(ctx, name)
		if err != nil {
			return err
		}
		if !unit.Active() { // it was stopped meanwhile
			return h.StartUnit(ctx, name)
		}
		return h.ReloadUnit(ctx, name)
	})
	s.Loads, s.Serving = Load{name, config}, true
	return s.undoneBy(s)
}

// repairHandover loads the configuration of planned moves again.
func repairHandover(want UnitWant, lacks string) Step {
	s := reloadUnit(want.Name, want.Config)
	s.Text += ", because " + lacks + " of the hand-over differ from the spec"
	return s
}

const verbRestart = "restart"

// restartUnit restarts a unit if a reload is not enough: its configuration is at a path other than at its start, or its
// program was replaced since.
func restartUnit(name, config, why string) Step {
	s := unitStep(verbRestart, name, host.Host.RestartUnit)
	s.Text = "restart " + name + ", " + why
	s.Loads, s.Serving = Load{name, config}, true
	return s.undoneBy(s)
}
