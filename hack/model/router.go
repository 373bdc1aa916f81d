package model

import (
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
)

// router is a VRRP process of keepalived with one instance, as in keepalived 2.3.3: the state machine of RFC 9568 §6.4, and
// keepalived's additions. Functions in brackets are keepalived's, in vrrp.c, vrrp_scheduler.c and vrrp_track.c.
type router struct {
	*keepalived
	state   host.Role // UNKNOWN until the first check of HAProxy
	begun   bool
	due     time.Time // when the VRRP timer expires (sands); zero if it is not set
	timer   *time.Timer
	queue   []frame // frames in the socket
	vipLost bool    // netlink has reported that the virtual IP was removed

	script  time.Time   // when the check of HAProxy runs next
	checked bool        // the check has run
	failing bool        // the current result of the check
	count   int         // consecutive results that differ from failing
	preempt time.Time   // when a backup takes over from a lower priority (preempt_delay); zero if not set
	delayed *time.Timer // the second burst of gratuitous ARP
	over    bool
}

const (
	socketRoom = 64                   // the kernel drops further advertisements
	garps      = 5                    // keepalived.conf(5), garp_master_repeat
	garpDelay  = 5 * time.Second      // garp_master_delay
	scriptTime = 8 * time.Millisecond // duration of systemctl is-active
)

func newRouter(k *keepalived) *router { return &router{keepalived: k, state: host.RoleUnknown} }

// end ends the process.
func (v *router) end() {
	v.over = true
	if v.stopAnnouncing(); v.timer != nil {
		v.timer.Stop()
	}
}

// arm sets the timer to the next due time.
func (v *router) arm() {
	if v.timer != nil {
		v.timer.Stop()
	}
	next := v.due
	if v.begun && (next.IsZero() || v.script.Before(next)) {
		next = v.script
	}
	if !next.IsZero() {
		v.timer = v.world.after(time.Until(next), v.wake)
	}
}

// hear puts a frame into the socket.
func (v *router) hear(f frame) {
	if !v.begun || f.router != v.id || len(v.queue) >= socketRoom {
		return
	}
	v.queue = append(v.queue, f)
	v.wake()
}

// wake does what is due. It reads the socket before it handles the timer (thread_fetch_next_queue: a ready socket comes
// before an expired timeout).
func (v *router) wake() {
	if v.over || v.stopped || v.stalled || !v.up {
		return // wake is called again when the process continues
	}
	if !v.begun {
		if !time.Now().Before(v.due) {
			v.begin()
		}
		v.arm()
		return
	}
	if v.vipLost {
		if v.vipLost = false; v.state == host.RoleMaster { // set_vrrp_backup
			v.toBackup(true)
			v.due = time.Now().Add(v.skew())
		}
	}
	if !time.Now().Before(v.script) {
		v.check()
	}
	v.track()
	for len(v.queue) > 0 && !v.over {
		f := v.queue[0]
		v.queue = v.queue[1:]
		v.read(f)
	}
	if !v.due.IsZero() && !time.Now().Before(v.due) {
		v.timeout()
	}
	v.arm()
}

// begin starts the VRRP process, which removes the virtual IP that a former process left behind.
func (v *router) begin() {
	v.begun, v.due = true, time.Time{}
	v.script = time.Now().Add(scriptTime)
	v.setVIP(false)
}

// check takes a result of the check script. The first result counts at once.
func (v *router) check() {
	v.script = time.Now().Add(v.interval)
	bad := v.haproxy.state != "active"
	switch {
	case !v.checked:
		v.checked, v.failing = true, bad
	case bad == v.failing:
		v.count = 0
	default:
		v.count++
		if need := map[bool]int{true: v.fall, false: v.rise}[bad]; v.count >= need {
			v.failing, v.count = bad, 0
		}
	}
}

// track applies the tracked files and the check. All weights are 0 (down_instance, try_up_instance).
func (v *router) track() {
	out := v.fault || v.drain || v.failing
	switch {
	case !v.checked: // the instance is in INIT until the script has run
	case out && v.state == host.RoleMaster:
		v.goodbye() // sent twice, by vrrp_state_leave_master and vrrp_restore_interface
		v.goodbye()
		v.setVIP(false)
		v.is(host.RoleFault)
		v.stopAnnouncing()
		v.due = time.Time{}
	case out && v.state != host.RoleFault:
		v.is(host.RoleFault)
		v.due = time.Time{}
	case !out && (v.state == host.RoleFault || v.state == host.RoleUnknown):
		v.preempt = time.Time{}
		v.is(host.RoleBackup)
		v.wait()
	}
}

func (v *router) is(role host.Role) {
	v.state = role
	v.tell("%s is %s", v.name, role)
}

// skew returns Skew_Time. wait sets the timer to Active_Down_Interval (RFC 9568 §6.1).
func (v *router) skew() time.Duration {
	return v.advertise * time.Duration(256-v.priority) / 256
}

func (v *router) wait() { v.due = time.Now().Add(3*v.advertise + v.skew()) }

// read models vrrp_dispatcher_read.
func (v *router) read(f frame) {
	switch v.state {
	case host.RoleBackup:
		v.readAsBackup(f)
	case host.RoleMaster:
		v.readAsMaster(f)
	}
}

// readAsBackup models vrrp_state_backup.
func (v *router) readAsBackup(f frame) {
	now := time.Now()
	switch {
	case f.priority == 0:
		v.due = now.Add(v.skew())
	case !v.preempts || f.priority >= v.priority || v.preemptDelay > 0 && (v.preempt.IsZero() || v.preempt.After(now)):
		v.wait()
		switch {
		case v.preemptDelay == 0:
		case f.priority >= v.priority:
			v.preempt = time.Time{}
		case v.preempt.IsZero():
			v.preempt = now.Add(v.preemptDelay)
		}
	} // otherwise the frame is discarded, and the timer runs on
}

// readAsMaster models vrrp_state_master_rx.
func (v *router) readAsMaster(f frame) {
	higher := f.priority > v.priority || f.priority == v.priority && v.addr.Less(f.sender)
	switch {
	case f.priority == 0:
		v.advertiseNow()
	case higher:
		v.toBackup(false)
	default: // "forcing new election"
		v.advertiseNow()
		v.announceNow()
	}
}

// toBackup models vrrp_state_leave_master.
func (v *router) toBackup(goodbye bool) {
	if goodbye {
		v.goodbye()
	}
	v.setVIP(false)
	v.stopAnnouncing()
	v.preempt = time.Time{}
	v.is(host.RoleBackup)
	v.wait()
}

// timeout models vrrp_dispatcher_read_timeout.
func (v *router) timeout() {
	v.advertiseNow()
	if v.state == host.RoleMaster {
		return
	}
	v.is(host.RoleMaster)
	v.setVIP(true)
	v.announceNow()
}

func (v *router) goodbye() { v.say(0) }

func (v *router) say(priority int) {
	v.send(frame{kind: advert, from: v.mac, sender: v.addr, router: v.id, priority: priority})
}

func (v *router) advertiseNow() {
	v.say(v.priority)
	v.due = time.Now().Add(v.advertise)
}

// announceNow sends gratuitous ARP now and 5 s later.
func (v *router) announceNow() {
	v.stopAnnouncing()
	v.burst()
	v.delayed = v.world.after(garpDelay, v.announceAgain)
}

// announceAgain sends gratuitous ARP, and repeats that every garp_master_refresh.
func (v *router) announceAgain() {
	if !v.stopped && !v.stalled {
		v.burst()
	}
	v.delayed = v.world.after(v.refresh, v.announceAgain)
}

func (v *router) burst() {
	for range garps {
		v.announce("")
	}
}

func (v *router) stopAnnouncing() {
	if v.delayed != nil {
		v.delayed.Stop()
	}
}

// leave handles SIGTERM.
func (v *router) leave() {
	if v.state == host.RoleMaster {
		v.goodbye()
	}
	if v.begun {
		v.setVIP(false)
	}
}
