package model

import (
	"slices"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/wake"
)

// unit is a service as systemd has it.
type unit struct {
	*machine
	state string // ActiveState
	pid   int    // of the main process; 0 is none
	since time.Time
	bells []chan<- struct{} // of who watches it
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

// watch has a bell rung at each change. end ends that.
func (u *unit) watch(bell chan<- struct{}) (end func()) {
	u.bells = append(u.bells, bell)
	return func() {
		u.bells = slices.DeleteFunc(u.bells, func(other chan<- struct{}) bool { return other == bell })
	}
}

// died is the end of the main process. systemd sees it some milliseconds later, and then starts the unit again.
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

// facts are what systemd tells of it.
func (u *unit) facts(name string) host.Unit {
	f := host.Unit{Name: name, LoadState: "loaded", ActiveState: u.state, MainPID: u.pid}
	if f.Active() {
		f.ActiveSince = u.since
	}
	return f
}
