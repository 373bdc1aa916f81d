package main

import (
	"context"
	"time"

	"rlb.dev/rlb-agent/api"
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
