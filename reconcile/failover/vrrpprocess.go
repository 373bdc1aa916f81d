package failover

import (
	"context"
	"log/slog"
	"time"

	"rlb.dev/rlb-agent/reconcile/backoff"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
)

// vrrpProcess looks after keepalived's VRRP process, which its main process makes, and which sends and receives the
// advertisements. It gets real-time priority, so that they are on time while all cores are busy.
//
// keepalived starts a VRRP process that died again at once, and the new one begins by removing the virtual IPs, while the
// peers wait for the time of a takeover: for that long nobody would hold them. So all of keepalived is killed then. The
// virtual IPs stay on the interface until a peer has taken over, as after any death of keepalived.
type vrrpProcess struct {
	host Host
	log  *slog.Logger

	units chan string        // new ActiveStates of keepalived's unit
	force chan state.InForce // the spec in force
	ended chan vrrpEnd

	tracks  bool // keepalived runs with our drop-in and the tracked file
	watched int  // main process whose VRRP process is watched; 0 is none
	retry   backoff.Backoff
	slow    bool // it was logged that there is no real-time priority
}

// vrrpEnd is the end of a VRRP process, or why it cannot be watched.
type vrrpEnd struct {
	keepalived int // main process
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
			if e := <-v.ended; e.err == nil { // it has just been suspended
				v.resume(e.keepalived)
			}
			return
		case f := <-v.force:
			v.tracks = f.Tracks
		case state := <-v.units:
			if !up(state) {
				continue
			}
			v.retry.Reset() // it may be another keepalived, which must not wait for what the former ones lacked
		case e := <-v.ended:
			if v.watched = 0; e.err != nil { // as right after its start, when there is no VRRP process yet
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

// adopt gives the VRRP process real-time priority, which does not last over its restart, and begins to watch it.
func (v *vrrpProcess) adopt(ctx context.Context) {
	unit, err := v.host.Unit(ctx, host.KeepalivedUnit)
	if err != nil || !unit.Active() || unit.MainPID == 0 {
		return
	}
	if err := v.host.HastenVRRP(ctx, unit.MainPID); err != nil && !v.slow {
		v.slow = true // as in some containers
		v.log.Warn("advertisements may be late on a busy machine: " + err.Error())
	}
	if v.watched != 0 { // the end of that one is still to come
		return
	}
	v.watched = unit.MainPID
	v.resume(unit.MainPID) // an agent that was killed may have left it suspended
	go func() { v.ended <- v.awaitEnd(ctx, unit.MainPID) }()
}

// awaitEnd waits for the end of the VRRP process, and suspends the rest of keepalived at once: asking systemd what the
// unit is doing takes longer on a busy machine than a new VRRP process needs to remove the virtual IPs.
func (v *vrrpProcess) awaitEnd(ctx context.Context, keepalived int) vrrpEnd {
	return vrrpEnd{keepalived, v.host.AwaitChildEnd(ctx, keepalived, func() {
		if err := v.host.Suspend(keepalived); err != nil { // it is killed all the same
			v.log.Error(err.Error())
		}
	})}
}

// killRest kills a keepalived that runs on without its VRRP process. One that is being stopped, or that ended with it, is
// left alone.
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
