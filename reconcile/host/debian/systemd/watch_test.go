package systemd

import (
	"runtime"
	"testing"

	godbus "github.com/godbus/dbus/v5"
)

// TestUnitHintsAreBounded: however many signals arrive while no unit is read, each unit is queued once.
func TestUnitHintsAreBounded(t *testing.T) {
	const haproxy, changed = unitsPath + "haproxy_2eservice", "org.freedesktop.DBus.Properties.PropertiesChanged"
	u := newUnitHints([]string{"haproxy.service", "keepalived.service"})
	before := runtime.NumGoroutine()
	for range 100_000 {
		u.DeliverSignal("", "", &godbus.Signal{Path: haproxy, Name: changed, Body: []any{"org.freedesktop.systemd1.Unit"}})
	}
	for _, other := range []*godbus.Signal{
		{Path: unitsPath + "cron_2eservice", Name: changed},
		{Path: haproxy, Name: "org.example.Other"},
		{Path: haproxy, Name: changed, Body: []any{"org.freedesktop.systemd1.Service", map[string]godbus.Variant{}}},
		{Path: ManagerPath, Name: "org.freedesktop.systemd1.Manager.UnitNew"},
	} {
		u.DeliverSignal("", "", other)
	}
	if name := <-u.next; name != "haproxy.service" || len(u.next) != 0 || runtime.NumGoroutine() > before {
		t.Errorf("%s, %d more, %d goroutines more", name, len(u.next), runtime.NumGoroutine()-before)
	}
	u.taken("haproxy.service")
	u.DeliverSignal("", "", &godbus.Signal{Path: haproxy, Name: changed, Body: []any{"org.freedesktop.systemd1.Unit"}})
	u.DeliverSignal("", "", &godbus.Signal{Path: ManagerPath, Name: "org.freedesktop.systemd1.Manager.UnitFilesChanged"})
	if len(u.next) != 2 {
		t.Errorf("%d units wait after the files of all changed, want 2", len(u.next))
	}
}
