package failover

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"rlb.dev/rlb-agent/reconcile/backoff"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/status"
)

const (
	settleTime  = 100 * time.Millisecond // keepalived adds or removes all virtual IPs within this time
	confirmTime = 150 * time.Millisecond // between the two checks that must both find an address left behind
	restartTime = 250 * time.Millisecond // systemd has restarted keepalived within this time after a takeover
	youngPause  = 500 * time.Millisecond // until a keepalived that started too recently is asked for its state again
)

// ownership ensures that only one host holds the virtual IPs. It removes virtual IPs that were left on this host while no
// keepalived here is MASTER, and finds other holders that keepalived does not hear.
type ownership struct {
	host Host
	log  *slog.Logger

	units     chan string        // new ActiveStates of keepalived's unit
	force     chan state.InForce // the spec in force
	moved     chan struct{}      // addresses may have changed
	conflicts chan<- conflict    // to health

	spec  state.InForce
	unit  string         // ActiveState of keepalived's unit; "" if not known yet
	down  time.Time      // since when keepalived does not run; zero if it runs
	held  []netip.Prefix // virtual IPs on the interface
	holds atomic.Bool    // held is not empty
	check time.Time      // when to check whether the virtual IPs belong here; zero means never
	stray bool           // the last check found that they do not belong here
	fresh bool           // this host got virtual IPs since the last check
	got   time.Time      // when held last changed to other virtual IPs
	retry backoff.Backoff

	tookOver func() // Config.TookOver

	sessions     time.Time // when to end the connections that a move has left on this host; zero means never
	keepSessions func()    // cancels the search that would end them

	lastLogged string // the last failure logged

	splitBrain
	standDown
}

func newOwnership(h Host, conflicts chan<- conflict, log *slog.Logger) *ownership {
	return &ownership{
		host: h, log: log, conflicts: conflicts,
		units: make(chan string), force: make(chan state.InForce), moved: make(chan struct{}, 1),
		retry:        backoff.Backoff{First: 500 * time.Millisecond, Most: 30 * time.Second},
		keepSessions: func() {},
		tookOver:     func() {},
		splitBrain:   newSplitBrain(),
		standDown:    newStandDown(),
	}
}

func (o *ownership) run(ctx context.Context) {
	defer o.underway.Wait()
	defer o.unwatch()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-o.force:
			o.applySpec(ctx, f)
		case unit := <-o.units:
			o.unitChanged(unit)
		case <-o.moved:
		case <-o.claims:
			o.claimed()
		case <-o.announceRequests:
			o.announceRequested()
		case a := <-o.answers:
			o.answered(ctx, a)
		case p := <-o.passes:
			o.advertsHeard(ctx, p)
		case <-timer.C:
			if due(o.announceAt) {
				o.announce()
			}
		}
		if len(o.spec.VirtualIPs) > 0 {
			o.readHeld(ctx)
			o.checkHeld(ctx)
			o.askOthers(ctx)
			o.pollOthers(ctx)
			o.endSessions(ctx)
		}
		timer.Reset(o.pause())
	}
}

// applySpec sets the spec in force. If the interface or the virtual IPs are new, what happened before is unknown:
// neighbours may still send packets for the virtual IPs to this host, and connections may be left here.
func (o *ownership) applySpec(ctx context.Context, f state.InForce) {
	begins := f.Interface != o.spec.Interface || !slices.Equal(f.VirtualIPs, o.spec.VirtualIPs)
	o.spec = f
	if begins {
		o.unwatch()
		o.giveUpRequests()
		o.sessions = time.Now().Add(sessionsLast)
	}
	o.schedule()
	if begins && len(f.VirtualIPs) > 0 {
		if o.readHeld(ctx); len(o.held) == 0 {
			o.requestAnnouncement(ctx, 0)
		}
	}
}

// pause returns the time until the next action is due.
func (o *ownership) pause() time.Duration {
	if len(o.spec.VirtualIPs) == 0 {
		return time.Hour // without a spec in force ownership does nothing
	}
	next := time.Now().Add(time.Hour)
	for _, at := range []time.Time{o.check, o.ask, o.hang, o.poll, o.announceAt, o.sessions} {
		if !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	return time.Until(next)
}

func due(at time.Time) bool { return !at.IsZero() && !time.Now().Before(at) }

// schedule plans a check of the virtual IPs for the time when the current change is over.
func (o *ownership) schedule() {
	o.check, o.stray = time.Now().Add(settleTime), false
	o.retry.Reset()
	if !o.down.IsZero() {
		// systemd restarts keepalived once a peer has taken over, and the new keepalived first removes the virtual IPs
		o.check = o.down.Add(o.spec.Takeover + restartTime)
	}
	if !o.standingDown {
		o.askBy(time.Now().Add(o.spec.Takeover + settleTime))
	}
}

func (o *ownership) unitChanged(state string) {
	o.unit = state
	switch running := up(state) || state == "deactivating"; { // a stopping keepalived removes its addresses itself
	case running:
		o.down = time.Time{}
	case o.down.IsZero():
		o.down = time.Now()
	}
	if o.schedule(); !o.down.IsZero() && o.heard { // the claim of the new holder may have come before this event
		o.askBy(time.Now())
	}
}

// readHeld reads which virtual IPs are on the interface, and reacts to a change.
func (o *ownership) readHeld(ctx context.Context) {
	all, err := o.addresses(ctx)
	if err != nil {
		o.logOnce(err)
		return
	}
	held := slices.DeleteFunc(slices.Clone(all), func(p netip.Prefix) bool { return !slices.Contains(o.spec.VirtualIPs, p.Addr()) })
	changed := !slices.Equal(held, o.held)
	if changed {
		o.keepSessions()
	}
	if len(held) > 0 {
		o.giveUpRequests()
	}
	if len(held) > 0 && len(o.held) == 0 {
		o.tookOver()
	}
	if len(held) == 0 && changed {
		o.sessions = time.Now().Add(sessionsLast)
		wait := time.Duration(0)
		if o.unit == "deactivating" { // keepalived advertises priority 0; another master that does not receive it announces nothing
			wait = successorTime
		}
		o.requestAnnouncement(ctx, wait)
	}
	o.holds.Store(len(held) > 0)
	switch o.held = held; {
	case len(held) == 0:
		o.check, o.stray, o.fresh = time.Time{}, false, false
		o.holdNone(ctx)
	case changed:
		o.fresh, o.got = true, time.Now()
		o.schedule()
		o.watch(ctx)
	default:
		o.watch(ctx)
	}
}

// addresses returns the addresses of the interface. An interface that does not exist has none.
func (o *ownership) addresses(ctx context.Context) ([]netip.Prefix, error) {
	all, err := o.host.Interfaces(ctx)
	for _, i := range all {
		if i.Name == o.spec.Interface {
			return i.Prefixes, nil
		}
	}
	return nil, err
}

// checkHeld removes the virtual IPs if they do not belong to this host.
func (o *ownership) checkHeld(ctx context.Context) {
	switch {
	case !due(o.check):
		return
	case o.unit == "": // ownership receives the unit's state later
		o.check = time.Time{}
		return
	case !o.down.IsZero():
		o.remove(ctx, "keepalived does not run here and left them behind")
		return
	}
	role, err := status.KeepalivedRole(ctx, atOnce{o.host})
	o.logOnce(err)
	switch role {
	case host.RoleMaster:
		o.check, o.stray = time.Time{}, false
		o.announceFresh()
	case host.RoleBackup, host.RoleFault:
		if !o.stray {
			o.check, o.stray = time.Now().Add(confirmTime), true
			return
		}
		o.remove(ctx, fmt.Sprintf("keepalived is %s here and did not add them", role))
	default:
		o.stray = false
		o.checkAgain()
	}
}

// checkAgain plans another check. After the longest pause of the back-off, only an event causes the next check.
func (o *ownership) checkAgain() {
	if o.retry.Exhausted() {
		o.check = time.Time{}
		return
	}
	o.check = time.Now().Add(o.retry.Next())
}

// remove removes the virtual IPs, each from its own interface.
func (o *ownership) remove(ctx context.Context, why string) {
	all, err := o.host.Interfaces(ctx)
	o.logOnce(err)
	for _, i := range all {
		var removed []string
		for _, p := range i.Prefixes {
			at := slices.Index(o.spec.VirtualIPs, p.Addr())
			if at < 0 || i.Name != o.spec.Interface && i.Name != o.spec.Devices[at] {
				continue
			}
			if err := o.host.RemoveAddress(ctx, i.Name, p); err != nil {
				o.logOnce(err)
				continue
			}
			removed = append(removed, p.Addr().String())
		}
		if len(removed) > 0 {
			o.log.Warn(fmt.Sprintf("removed %s from %s: %s", strings.Join(removed, ", "), i.Name, why))
		}
	}
	o.stray = false
	o.checkAgain()
	o.readHeld(ctx)
}

// logOnce logs a failure unless it is the same as the last one.
func (o *ownership) logOnce(err error) {
	if err != nil && err.Error() != o.lastLogged {
		o.lastLogged = err.Error()
		o.log.Warn("cannot monitor the virtual IPs: " + o.lastLogged)
	}
}
