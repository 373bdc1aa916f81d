package failover

import (
	"context"
	"log/slog"
	"time"

	"rlb.dev/rlb-agent/reconcile/backoff"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
)

// vrrpProcess monitors keepalived's VRRP process, the child of its main process that sends and receives the advertisements.
// vrrpProcess gives it real-time priority, so that advertisements are on time while all cores are busy.
//
// keepalived restarts a dead VRRP process at once. The new process first removes the virtual IPs, while the peers still wait
// for the time of a takeover, and no host would hold the virtual IPs for that time. So vrrpProcess kills all of keepalived.
// The virtual IPs then stay on the interface until a peer has taken over, as after any death of keepalived.
type vrrpProcess struct {
	host Host
	log  *slog.Logger

	units chan string        // new ActiveStates of keepalived's unit
	force chan state.InForce // the spec in force
	ended chan vrrpEnd

	tracks  bool // keepalived runs with the agent's drop-in and the tracked file
	watched int  // PID of the main process whose VRRP process is watched; 0 if there is none
	retry   backoff.Backoff
	slow    bool // the missing real-time priority was logged
}

// vrrpEnd reports the end of a VRRP process, or why the process cannot be watched.
type vrrpEnd struct {
	keepalived int // PID of the main process
	err        error
}

func newVRRPProcess(h Host, log *slog.Logger) *vrrpProcess {
	return &vrrpProcess{
		host: h, log: log, units: make(chan string), force: make(chan state.InForce), ended: make(chan vrrpEnd, 1),
		retry: backoff.Backoff{First: 50 * time.Millisecond, Most: time.Minute, Quiet: time.Minute},
	}
}

func (v *vrrpProcess) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			if v.watched == 0 {
				return
			}
			if e := <-v.ended; e.err == nil { // awaitEnd has just suspended the main process
				v.resume(e.keepalived)
			}
			return
		case f := <-v.force:
			v.tracks = f.Tracks
		case state := <-v.units:
			if !up(state) {
				continue
			}
			v.retry.Reset() // this may be a new keepalived, which must not wait because of failures with former ones
		case e := <-v.ended:
			if v.watched = 0; e.err != nil { // for example no VRRP process exists yet, just after the start
				timer.Reset(v.retry.Next())
				continue
			}
			v.killRest(ctx, e.keepalived)
		case <-timer.C:
		}
		if v.tracks {
			v.adopt(ctx)
		}
	}
}

// adopt gives the VRRP process real-time priority and begins to watch it. A restarted VRRP process needs the priority again.
func (v *vrrpProcess) adopt(ctx context.Context) {
	unit, err := v.host.Unit(ctx, host.KeepalivedUnit)
	if err != nil || !unit.Active() || unit.MainPID == 0 {
		return
	}
	if err := v.host.HastenVRRP(ctx, unit.MainPID); err != nil && !v.slow {
		v.slow = true // some containers do not allow it
		v.log.Warn("advertisements may be late on a busy machine: " + err.Error())
	}
	if v.watched != 0 { // the goroutine for the former main process has not reported yet
		return
	}
	v.watched = unit.MainPID
	v.resume(unit.MainPID) // an agent that was killed may have left it suspended
	go func() { v.ended <- v.awaitEnd(ctx, unit.MainPID) }()
}

// awaitEnd waits for the end of the VRRP process and suspends the rest of keepalived at once. Only then the agent asks systemd
// for the state of the unit. On a busy machine that query takes longer than a new VRRP process needs to remove the virtual
// IPs.
func (v *vrrpProcess) awaitEnd(ctx context.Context, keepalived int) vrrpEnd {
	return vrrpEnd{keepalived, v.host.AwaitChildEnd(ctx, keepalived, func() {
		if err := v.host.Suspend(keepalived); err != nil { // killRest kills keepalived in this case too
			v.log.Error(err.Error())
		}
	})}
}

// killRest kills a keepalived that runs on without its VRRP process. It only resumes a keepalived that is being stopped or
// that has ended too.
func (v *vrrpProcess) killRest(ctx context.Context, keepalived int) {
	unit, err := v.host.Unit(ctx, host.KeepalivedUnit)
	if err != nil || !v.tracks || !unit.Active() || unit.MainPID != keepalived {
		v.resume(keepalived)
		return
	}
	if err := v.host.KillUnit(ctx, host.KeepalivedUnit); err != nil {
		v.log.Error("cannot kill a keepalived without its VRRP process: " + err.Error())
		v.resume(keepalived)
		return
	}
	v.log.Warn("keepalived's VRRP process died: killed the rest of keepalived, so that a peer takes over")
}

func (v *vrrpProcess) resume(keepalived int) {
	if err := v.host.Resume(keepalived); err != nil {
		v.log.Error(err.Error())
	}
}
