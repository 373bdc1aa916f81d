package model

import (
	"time"

	"rlb.dev/rlb-agent/reconcile/wake"
)

// keepalived holds keepalived's two processes under systemd, with the agent's drop-in (render, keepalivedDropIn): the VRRP
// process, and the main process, which restarts the VRRP process when that dies alone (keepalived 2.3.3, vrrp_daemon.c,
// vrrp_respawn_thread).
type keepalived struct {
	unit
	vrrp    *router // nil while no VRRP process exists
	forked  time.Time
	rest    time.Duration // pause before the restart after the next early death
	again   time.Time     // when to restart the VRRP process; zero if the main process has noticed no death
	stopped bool          // SIGSTOP
	ended   []bell        // woken at the end of the VRRP process
	kept    bool          // a fault keeps keepalived from starting
	id      int           // virtual router id from the file, read at the start or reload
}

type bell = chan<- struct{}

func newKeepalived(m *machine) *keepalived {
	return &keepalived{unit: unit{machine: m, state: "inactive"}}
}

// wake makes the VRRP process do what is due.
func (k *keepalived) wake() {
	if k.vrrp != nil {
		k.vrrp.wake()
	}
}

func (k *keepalived) start() {
	if k.pid != 0 || k.kept || !k.up {
		return
	}
	k.set("activating")
	k.pid, k.stopped, k.rest, k.again, k.id = k.machine.pid(), false, 0, time.Time{}, k.routerID()
	pid := k.pid
	k.soon(5*time.Millisecond, 30*time.Millisecond, func() {
		if k.pid != pid {
			return
		}
		k.fork()
		k.soon(time.Millisecond, 15*time.Millisecond, func() {
			if k.pid == pid {
				k.set("active")
			}
		})
	})
}

// fork starts a VRRP process.
func (k *keepalived) fork() {
	k.vrrp, k.forked, k.again = newRouter(k), time.Now(), time.Time{}
	k.vrrp.due = time.Now().Add(k.within("machine "+k.name, 15*time.Millisecond, 60*time.Millisecond))
	k.vrrp.arm()
}

// kill kills all of keepalived (SIGKILL). The virtual IP stays on the interface.
func (k *keepalived) kill() {
	if k.pid == 0 {
		return
	}
	k.childGone()
	k.stopped = false
	k.died(k.restart, k.start)
}

// killChild kills only the VRRP process (SIGKILL).
func (k *keepalived) killChild() {
	if k.vrrp == nil {
		return
	}
	k.childGone()
	k.respawn()
}

// respawn makes the main process restart a dead VRRP process. It does so at once after the first death and after a life of a
// minute or more. After further early deaths it waits 1 s, then 2 s, up to a minute (keepalived 2.3.3, utils.c,
// calc_restart_delay).
func (k *keepalived) respawn() {
	pid := k.pid
	k.soon(500*time.Microsecond, 3*time.Millisecond, func() {
		if k.pid != pid || k.vrrp != nil || k.stopped {
			return // a stopped main process notices the death when it continues
		}
		if k.again.IsZero() {
			rest := k.rest
			if k.rest = min(max(time.Second, 2*rest), time.Minute); time.Since(k.forked) >= time.Minute {
				rest, k.rest = 0, 0
			}
			k.again = time.Now().Add(rest)
		}
		k.after(time.Until(k.again), func() {
			if k.pid == pid && k.vrrp == nil && !k.stopped {
				k.fork()
			}
		})
	})
}

func (k *keepalived) childGone() {
	if k.vrrp != nil {
		k.vrrp.end()
		k.vrrp = nil
	}
	for _, b := range k.ended {
		wake.Up(b)
	}
	k.ended = nil
}

// stop stops keepalived (systemctl stop, SIGTERM).
func (k *keepalived) stop() {
	if k.pid == 0 || !k.up {
		k.set("inactive")
		return
	}
	k.set("deactivating")
	k.suspend(false)
	if k.vrrp != nil {
		k.vrrp.leave()
	}
	k.childGone()
	k.pid = 0
	k.soon(time.Millisecond, 10*time.Millisecond, func() {
		if k.pid == 0 {
			k.set("inactive")
		}
	})
}

// reload reloads keepalived (systemctl reload). The instance keeps its state (vrrp.c, clear_diff_vrrp).
func (k *keepalived) reload() {
	if k.pid != 0 {
		k.id = k.routerID()
	}
}

// keep stops keepalived and keeps it from starting, or lets it start again. If a rejoin process waits, that process starts it.
func (k *keepalived) keep(out bool) {
	switch k.kept = out; {
	case out:
		k.stop()
	case k.rejoin == nil:
		k.start()
	}
}

// suspend stops all of keepalived (SIGSTOP), or continues it (SIGCONT).
func (k *keepalived) suspend(on bool) {
	if k.pid == 0 {
		return
	}
	if k.stopped = on; on {
		return
	}
	if k.wake(); k.vrrp == nil && k.state != "activating" {
		k.respawn()
	}
}

// hear delivers a frame to the VRRP process.
func (k *keepalived) hear(f frame) {
	if k.vrrp != nil {
		k.vrrp.hear(f)
	}
}

// lost tells the VRRP process that the virtual IP was removed.
func (k *keepalived) lost() {
	if k.vrrp != nil {
		k.vrrp.vipLost = true
		k.vrrp.wake()
	}
}

// gone ends keepalived together with the host.
func (k *keepalived) gone() {
	if k.vrrp != nil {
		k.vrrp.end()
	}
	k.vrrp, k.pid, k.stopped, k.ended, k.state, k.unit.bells = nil, 0, false, nil, "inactive", nil
}
