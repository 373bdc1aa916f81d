package main

import (
	"context"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/render"
)

const keepalivedUnit = "keepalived.service"

// afterSystemd leaves it to systemd to start keepalived again where its unit says so.
const afterSystemd = 200 * time.Millisecond

// tooEarly is how long a keepalived that died must stay away yet. Its successor takes the virtual IPs off the
// interface and waits for the peer: before the peer has missed it and taken over, nobody would hold them.
func (k *keeper) tooEarly(ctx context.Context, doc *api.Document) time.Duration {
	unit, err := k.host.Unit(ctx, keepalivedUnit)
	if err != nil || unit.Died.IsZero() {
		return 0
	}
	return max(0, time.Until(unit.Died.Add(render.TakeoverTime(&doc.Spec)+afterSystemd)))
}

// How long a unit that is starting or stopping is left alone, and how soon it is looked at again: whoever stops or
// restarts one is not to find his command canceled.
const (
	transitPause = 100 * time.Millisecond
	longTransit  = 10 * time.Second
)

// inTransit says whether a unit is on its way to another state.
func (k *keeper) inTransit(look reconcile.Look, now time.Time) bool {
	moving := false
	for _, unit := range look.Observed.Units {
		moving = moving || unit.ActiveState == "activating" || unit.ActiveState == "deactivating"
	}
	switch {
	case !moving:
		k.transit = time.Time{}
	case k.transit.IsZero():
		k.transit = now
	}
	return moving && now.Sub(k.transit) < longTransit
}
