package daemon

import (
	"context"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/plan"
)

// keepalivedRests returns how long a keepalived that died must still stay down. The step that starts it would wait as
// long, but would hold the lock meanwhile. look is the latest look, or nil.
func (l *loop) keepalivedRests(ctx context.Context, doc *api.Document, look *plan.Look) time.Duration {
	var unit host.Unit
	if look != nil {
		unit = look.Observed.Units[host.KeepalivedUnit]
	} else {
		unit, _ = l.host.Unit(ctx, host.KeepalivedUnit) // after an error it counts as not dead
	}
	rest := plan.KeepalivedRest(&doc.Spec)
	left := unit.Rests(rest)
	if left > rest { // the clock was set back since the death; the step that starts keepalived waits as long as it should
		return 0
	}
	return left
}

// How long a unit that is starting or stopping, and packages that are being installed, are left alone, and the pause
// before the next look: the agent must not cancel an administrator's restart of a unit or installation of a package.
const (
	transitPause = 100 * time.Millisecond
	longTransit  = 10 * time.Second
	installPause = time.Second
	longInstall  = 2 * time.Minute
)

// inTransit returns how long to wait while another program changes the state of a unit or a package, or 0.
func (l *loop) inTransit(look plan.Look, now time.Time) time.Duration {
	installing := len(look.Plan.Install) > 0 && l.host.Installing()
	moving := installing
	for _, unit := range look.Observed.Units {
		moving = moving || unit.ActiveState == "activating" || unit.ActiveState == "deactivating"
	}
	switch {
	case !moving:
		l.transitSince = time.Time{}
	case l.transitSince.IsZero():
		l.transitSince = now
	}
	switch lasts := now.Sub(l.transitSince); {
	case installing && lasts < longInstall:
		return installPause
	case moving && lasts < longTransit:
		return transitPause
	}
	return 0
}
