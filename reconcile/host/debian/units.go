package debian

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	"golang.org/x/sys/unix"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian/program"
	"rlb.dev/rlb-agent/reconcile/host/debian/systemd"
)

// Names of systemd's errors that mean that the requested state is already reached.
const (
	noSuchUnit = "org.freedesktop.systemd1.NoSuchUnit"
	noSuchFile = "org.freedesktop.systemd1.NoSuchUnitFile"
	notFound   = "org.freedesktop.DBus.Error.FileNotFound"
)

// StartUnit starts a unit and waits until the job is done.
func (h *Host) StartUnit(ctx context.Context, name string) error {
	return h.effect.Do("StartUnit "+name, func() error { return h.startJob(ctx, "start", name, (*dbus.Conn).StartUnitContext) })
}

// RestartUnit restarts a unit and waits until the job is done.
func (h *Host) RestartUnit(ctx context.Context, name string) error {
	return h.effect.Do("RestartUnit "+name, func() error { return h.startJob(ctx, "restart", name, (*dbus.Conn).RestartUnitContext) })
}

// StopUnit stops a unit and waits until the job is done. A unit that does not exist counts as stopped.
func (h *Host) StopUnit(ctx context.Context, name string) error {
	return h.effect.Do("StopUnit "+name, func() error { return h.stopUnit(ctx, name) })
}

func (h *Host) stopUnit(ctx context.Context, name string) error {
	result, err := h.job(ctx, "stop", name, (*dbus.Conn).StopUnitContext)
	if systemd.IsError(err, noSuchUnit) {
		return nil
	}
	if err == nil && result != "done" {
		err = fmt.Errorf("cannot stop %s: %s", name, resultWords(result))
	}
	if err == nil {
		h.forgetFailures(ctx, name) // a unit that failed before also counts as stopped
	}
	return err
}

// forgetFailures resets a unit's failed state and systemd's start counter.
func (h *Host) forgetFailures(ctx context.Context, name string) {
	bus, err := h.systemd.Jobs()
	if err == nil {
		err = bus.ResetFailedUnitContext(ctx, name)
	}
	if err != nil && !systemd.IsError(err, noSuchUnit) { // the next step shows whether that matters
		h.log.DebugContext(ctx, "cannot forget failures", "unit", name, "err", err)
	}
}

// ReloadUnit makes a running unit read its configuration. systemd can report the job as done although the program rejected
// the configuration.
func (h *Host) ReloadUnit(ctx context.Context, name string) error {
	return h.effect.Do("ReloadUnit "+name, func() error { return h.reloadUnit(ctx, name) })
}

func (h *Host) reloadUnit(ctx context.Context, name string) error {
	if name == host.HAProxyUnit && h.reloadCheckedBefore(ctx) {
		return h.signalMain(ctx, name, unix.SIGUSR2)
	}
	began := time.Now()
	result, err := h.job(ctx, "reload", name, (*dbus.Conn).ReloadUnitContext)
	if err == nil && result != "done" {
		err = h.jobFailed(ctx, "reload", name, result, began)
	}
	return err
}

// jobMethod is a method of the connection that starts a job.
type jobMethod func(bus *dbus.Conn, ctx context.Context, name, mode string, result chan<- string) (int, error)

// startJob runs a job after which the unit must be active.
func (h *Host) startJob(ctx context.Context, verb, name string, begin jobMethod) error {
	h.forgetFailures(ctx, name) // otherwise a unit that failed often is not started, even after its error is fixed
	began := time.Now()
	result, err := h.job(ctx, verb, name, begin)
	if err != nil {
		return err
	}
	if result != "done" {
		return h.jobFailed(ctx, verb, name, result, began)
	}
	p, err := h.systemd.Properties(ctx, name)
	if err != nil {
		return err
	}
	if why := h.notStarted(ctx, name, p); why != "" {
		return fmt.Errorf("cannot %s %s: %s", verb, name, why)
	}
	return nil
}

// job starts a job and waits for its result.
func (h *Host) job(ctx context.Context, verb, name string, begin jobMethod) (result string, err error) {
	do := verb + " " + name
	bus, err := h.systemd.Jobs()
	if err != nil {
		return "", systemd.Unreachable(do, err)
	}
	results := make(chan string, 2) // buffered: an abandoned result must not block the connection
	h.log.DebugContext(ctx, "asks systemd", "to", do)
	if _, err := begin(bus, ctx, name, "replace", results); err != nil {
		return "", systemd.Error(do, err)
	}
	alive := time.NewTicker(time.Second)
	defer alive.Stop()
	for {
		select {
		case result := <-results:
			return result, nil
		case <-ctx.Done():
			return "", fmt.Errorf("cannot %s: %w", do, ctx.Err())
		case <-alive.C:
			switch {
			case !bus.Connected():
				return "", fmt.Errorf("cannot %s: the connection to systemd was lost", do)
			case h.goingDown(ctx):
				return "", fmt.Errorf("cannot %s: this machine is going down", do)
			case h.beingStopped(ctx):
				// Jobs of units ordered after the agent's wait until the agent's unit has stopped, which waits for this
				// job.
				if _, err := begin(bus, ctx, name, "ignore-dependencies", results); err != nil {
					return "", systemd.Error(do, err)
				}
				alive.Reset(time.Minute)
			}
		}
	}
}

// beingStopped says whether systemd is stopping or restarting this process.
func (h *Host) beingStopped(ctx context.Context) bool {
	p, err := h.systemd.Properties(ctx, host.AgentUnit)
	return err == nil && p.Int("MainPID") == os.Getpid() && p.Text("ActiveState") == "deactivating"
}

// goingDown says whether systemd is shutting this machine down. It then stops the services, and must not be delayed.
func (h *Host) goingDown(ctx context.Context) bool {
	state, err := h.systemd.Property(ctx, systemd.ManagerPath, "Manager", "SystemState")
	return err == nil && state == "stopping"
}

// KillUnit kills all processes of a unit (SIGKILL).
func (h *Host) KillUnit(ctx context.Context, name string) error {
	return h.effect.Do("KillUnit "+name, func() error { return h.killUnit(ctx, name) })
}

func (h *Host) killUnit(ctx context.Context, name string) error {
	do := "kill " + name
	bus, err := h.systemd.Jobs()
	if err != nil {
		return systemd.Unreachable(do, err)
	}
	if err := bus.KillUnitWithTarget(ctx, name, dbus.All, int32(unix.SIGKILL)); err != nil {
		return systemd.Error(do, err)
	}
	return nil
}

// MaskUnit prevents a unit from starting until a reboot. The unit need not exist.
func (h *Host) MaskUnit(ctx context.Context, name string) error {
	return h.effect.Do("MaskUnit "+name, func() error { return h.maskUnit(ctx, name) })
}

func (h *Host) maskUnit(ctx context.Context, name string) error {
	err := h.unitFiles(ctx, "mask", name, func(bus *dbus.Conn) (bool, error) {
		changes, err := bus.MaskUnitFilesContext(ctx, []string{name}, true, true)
		return len(changes) > 0, err
	})
	if err != nil {
		return err
	}
	p, err := h.systemd.Properties(ctx, name)
	if err == nil && p.Text("LoadState") != "masked" {
		err = h.unitFiles(ctx, "unmask", name, func(bus *dbus.Conn) (bool, error) {
			changes, err := bus.UnmaskUnitFilesContext(ctx, []string{name}, true)
			return len(changes) > 0, err
		})
		err = errors.Join(fmt.Errorf("cannot mask %s: its unit file %s overrides a mask until the next boot", name, p.Text("FragmentPath")), err)
	}
	return err
}

// UnmaskUnit removes both kinds of mask.
func (h *Host) UnmaskUnit(ctx context.Context, name string) error {
	return h.effect.Do("UnmaskUnit "+name, func() error {
		return h.unitFiles(ctx, "unmask", name, func(bus *dbus.Conn) (bool, error) {
			forReboot, err1 := bus.UnmaskUnitFilesContext(ctx, []string{name}, true)
			forGood, err2 := bus.UnmaskUnitFilesContext(ctx, []string{name}, false)
			return len(forReboot)+len(forGood) > 0, errors.Join(err1, err2)
		})
	})
}

// EnableUnit makes a unit start at boot.
func (h *Host) EnableUnit(ctx context.Context, name string) error {
	return h.effect.Do("EnableUnit "+name, func() error {
		return h.unitFiles(ctx, "enable", name, func(bus *dbus.Conn) (bool, error) {
			installs, changes, err := bus.EnableUnitFilesContext(ctx, []string{name}, false, true)
			if err == nil && !installs {
				err = errors.New("it has no [Install] section")
			}
			return len(changes) > 0, err
		})
	})
}

// DisableUnit makes a unit not start at boot. A missing unit is no error.
func (h *Host) DisableUnit(ctx context.Context, name string) error {
	return h.effect.Do("DisableUnit "+name, func() error {
		return h.unitFiles(ctx, "disable", name, func(bus *dbus.Conn) (bool, error) {
			changes, err := bus.DisableUnitFilesContext(ctx, []string{name}, false)
			if systemd.IsError(err, noSuchUnit, noSuchFile, notFound) {
				err = nil
			}
			return len(changes) > 0, err
		})
	})
}

// unitFiles changes links to unit files, and makes systemd read the files only if that changed something.
func (h *Host) unitFiles(ctx context.Context, verb, name string, change func(*dbus.Conn) (changed bool, err error)) error {
	do := verb + " " + name
	bus, err := h.systemd.Jobs()
	if err != nil {
		return systemd.Unreachable(do, err)
	}
	h.log.DebugContext(ctx, "asks systemd", "to", do)
	changed, err := change(bus)
	if err != nil {
		return systemd.Error(do, err)
	}
	if !changed {
		return nil
	}
	return h.reloadManager(ctx)
}

// ReloadManager makes systemd read changed unit files.
func (h *Host) ReloadManager(ctx context.Context) error {
	return h.effect.Do("ReloadManager", func() error { return h.reloadManager(ctx) })
}

func (h *Host) reloadManager(ctx context.Context) error {
	const do = "make systemd read its unit files"
	bus, err := h.systemd.Jobs()
	if err != nil {
		return systemd.Unreachable(do, err)
	}
	if err := bus.ReloadContext(ctx); err != nil {
		return systemd.Error(do, err)
	}
	return nil
}

// RunDetached runs a command in a systemd unit of its own, and does not wait for it. If the unit already runs, RunDetached
// does nothing.
func (h *Host) RunDetached(ctx context.Context, unit string, args ...string) error {
	return h.effect.Do("RunDetached "+unit, func() error { return h.runDetached(ctx, unit, args...) })
}

func (h *Host) runDetached(ctx context.Context, unit string, args ...string) error {
	state, err := h.Unit(ctx, unit)
	if err != nil || state.Active() || state.ActiveState == "activating" {
		return err
	}
	return h.start(ctx, unit, args...)
}

// start runs a command in a new unit. Only root may be able to change the program.
func (h *Host) start(ctx context.Context, unit string, args ...string) error {
	if err := h.paths.Check(args[0]); err != nil {
		return wrap("start "+unit, err)
	}
	_, err := h.programs.Do(ctx, "start "+unit, program.Command{Name: "systemd-run", Args: append([]string{"--quiet", "--collect", "--unit=" + unit, "--"}, args...)})
	return err
}
