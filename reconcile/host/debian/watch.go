package debian

import (
	"context"
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"
)

// The pause before the bus is tried again; it doubles.
const (
	firstRedial = time.Second
	lastRedial  = time.Minute
)

// WatchUnits calls changed with the name of a unit whose properties changed, until ctx ends. After a loss of the bus,
// and where unit files were enabled, disabled or masked, all of them may have changed. It subscribes to these units alone:
// others' changes do not wake the agent.
func (h *Host) WatchUnits(ctx context.Context, names []string, changed func(name string)) {
	h.followUnits(ctx, names, func(name, _ string) { changed(name) })
}

// followUnits is WatchUnits with the new ActiveState, "" where it is not told.
func (h *Host) followUnits(ctx context.Context, names []string, changed func(name, state string)) {
	for pause := firstRedial; ctx.Err() == nil; pause = min(2*pause, lastRedial) {
		began := time.Now()
		err := h.watchUnits(ctx, names, changed)
		if ctx.Err() != nil {
			return
		}
		h.log.DebugContext(ctx, "cannot watch units", "err", err)
		if time.Since(began) > lastRedial {
			pause = firstRedial
		}
		if sleep(ctx, pause) != nil {
			return
		}
	}
}

// watchUnits watches until the bus is lost.
func (h *Host) watchUnits(ctx context.Context, names []string, changed func(name, state string)) error {
	bus, err := godbus.ConnectSystemBus(godbus.WithContext(ctx))
	if err != nil {
		return err
	}
	defer bus.Close()
	const systemd, manager = "org.freedesktop.systemd1", godbus.ObjectPath("/org/freedesktop/systemd1")
	unitOf := map[godbus.ObjectPath]string{}
	for _, name := range names {
		unitOf[manager+"/unit/"+godbus.ObjectPath(dbus.PathBusEscape(name))] = name
	}
	signals := make(chan *godbus.Signal, 64)
	bus.Signal(signals)
	sender := godbus.WithMatchSender(systemd)
	for path := range unitOf {
		// a second signal, of the properties of services alone, always comes with this one
		err := bus.AddMatchSignalContext(ctx, sender, godbus.WithMatchObjectPath(path), godbus.WithMatchArg(0, systemd+".Unit"),
			godbus.WithMatchInterface("org.freedesktop.DBus.Properties"), godbus.WithMatchMember("PropertiesChanged"))
		if err != nil {
			return err
		}
	}
	err = bus.AddMatchSignalContext(ctx, sender, godbus.WithMatchObjectPath(manager), godbus.WithMatchMember("UnitFilesChanged"))
	if err != nil {
		return err
	}
	if err := bus.Object(systemd, manager).CallWithContext(ctx, systemd+".Manager.Subscribe", 0).Err; err != nil {
		return err
	}
	all := func() {
		for _, name := range names {
			changed(name, "")
		}
	}
	all() // what changed before is not told
	for signal := range signals {
		if name, known := unitOf[signal.Path]; known {
			changed(name, activeState(signal))
		} else {
			all()
		}
	}
	return fmt.Errorf("the system bus was lost")
}

// activeState is the ActiveState in a PropertiesChanged signal of a unit.
func activeState(signal *godbus.Signal) string {
	if len(signal.Body) < 2 {
		return ""
	}
	properties, _ := signal.Body[1].(map[string]godbus.Variant)
	state, _ := properties["ActiveState"].Value().(string)
	return state
}
