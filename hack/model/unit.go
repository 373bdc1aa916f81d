package model

import (
	"slices"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/wake"
)

// unit is a service of systemd.
type unit struct {
	*machine
	state string // ActiveState
	pid   int    // PID of the main process; 0 if there is none
	since time.Time
	bells []chan<- struct{} // woken at each change
}

func (u *unit) set(state string) {
	u.state = state
	if state == "active" {
		u.since = time.Now()
	}
	for _, bell := range u.bells {
		wake.Up(bell)
	}
}

// watch wakes a bell at each change until end is called.
func (u *unit) watch(bell chan<- struct{}) (end func()) {
	u.bells = append(u.bells, bell)
	return func() {
		u.bells = slices.DeleteFunc(u.bells, func(other chan<- struct{}) bool { return other == bell })
	}
}

// died ends the main process. systemd notices some milliseconds later, and restarts the unit after rest.
func (u *unit) died(rest time.Duration, start func()) {
	u.pid = 0
	u.set("failed")
	u.soon(2*time.Millisecond, 10*time.Millisecond, func() {
		if u.state != "failed" {
			return
		}
		u.set("activating") // (auto-restart)
		u.after(rest, func() {
			if u.state == "activating" && u.pid == 0 {
				start()
			}
		})
	})
}

// facts returns systemd's view of the unit.
func (u *unit) facts(name string) host.Unit {
	f := host.Unit{Name: name, LoadState: "loaded", ActiveState: u.state, MainPID: u.pid}
	if f.Active() {
		f.ActiveSince = u.since
	}
	return f
}
