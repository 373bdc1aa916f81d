package model

import (
	"time"

	"rlb.dev/rlb-agent/reconcile/wake"
)

// keepalived is keepalived's processes under systemd, with the agent's drop-in (render, keepalivedDropIn): the main
// process, which starts the VRRP process again when that dies alone (keepalived 2.3.3, vrrp_daemon.c,
// vrrp_respawn_thread), and the VRRP process.
type keepalived struct {
	unit
	vrrp    *router // nil while there is none
	forked  time.Time
	rest    time.Duration // until one is started in place of the next one that dies early
	again   time.Time     // when that is done; zero is that the main process knows of no death
	stopped bool          // SIGSTOP
	ended   []bell        // of who waits for the end of the VRRP process
	kept    bool          // somebody keeps it from starting
	id      int           // of its virtual router, as its file said at its start
}

type bell = chan<- struct{}

func newKeepalived(m *machine) *keepalived {
	return &keepalived{unit: unit{machine: m, state: "inactive"}}
}

// wake lets the VRRP process do what is due.
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

// kill is SIGKILL for all of keepalived. The virtual IP stays where it is.
func (k *keepalived) kill() {
	if k.pid == 0 {
		return
	}
	k.childGone()
	k.stopped = false
	k.died(k.restart, k.start)
}

// killChild is SIGKILL for the VRRP process alone.
func (k *keepalived) killChild() {
	if k.vrrp == nil {
		return
	}
	k.childGone()
	k.respawn()
}

// respawn has the main process start a VRRP process in place of one that died: at once, but where that lived for less than
// a minute, and was not the first to, after 1 s, then 2 s, up to a minute (keepalived 2.3.3, utils.c, calc_restart_delay).
func (k *keepalived) respawn() {
	pid := k.pid
	k.soon(500*time.Microsecond, 3*time.Millisecond, func() {
		if k.pid != pid || k.vrrp != nil || k.stopped {
			return // where it was stopped, it hears of the death when it goes on
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

// stop is systemctl stop: SIGTERM.
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

// reload is systemctl reload: its instance goes on in its state (vrrp.c, clear_diff_vrrp).
func (k *keepalived) reload() {
	if k.pid != 0 {
		k.id = k.routerID()
	}
}

// keep stops it and keeps it from starting, or lets it start, unless a process is to do that (rejoin).
func (k *keepalived) keep(out bool) {
	switch k.kept = out; {
	case out:
		k.stop()
	case k.rejoin == nil:
		k.start()
	}
}

// suspend is SIGSTOP for all of keepalived, and SIGCONT.
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

// hear gives the VRRP process a frame.
func (k *keepalived) hear(f frame) {
	if k.vrrp != nil {
		k.vrrp.hear(f)
	}
}

// lost tells it that the virtual IP is gone.
func (k *keepalived) lost() {
	if k.vrrp != nil {
		k.vrrp.vipLost = true
		k.vrrp.wake()
	}
}

// gone is the end of the host.
func (k *keepalived) gone() {
	if k.vrrp != nil {
		k.vrrp.end()
	}
	k.vrrp, k.pid, k.stopped, k.ended, k.state, k.unit.bells = nil, 0, false, nil, "inactive", nil
}
