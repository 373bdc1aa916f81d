package failover

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render"
)

// After a move of the virtual IPs the connections of the former holder are dead: nobody forwards their packets any more.
// Their clients do not know while they are quiet, and HAProxy counts them. So they are ended, and each client is told.
const (
	sessionsLast = render.ForwardTime + 150*time.Millisecond // after the virtual IPs have left this host
	holderPause  = time.Second                               // between two looks whether another host holds the virtual IPs
	holderAsks   = 30                                        // looks, at most
	holderWait   = 100 * time.Millisecond                    // for the answer
)

// endSessions begins to end the sessions that a move has left here.
func (o *ownership) endSessions(ctx context.Context) {
	if !due(o.sessions) {
		return
	}
	o.sessions = time.Time{}
	if wait, err := state.ReadWait(ctx, o.host); err != nil || wait != nil {
		return // the new holder goes on forwarding, and they are closed when that ends (package serveon)
	}
	if o.spec.Hands && len(o.held) == 0 {
		o.keepSessions()
		ctx, o.keepSessions = context.WithCancel(ctx)
		h, spec, log := o.host, o.spec, o.log
		o.underway.Go(func() { endSessions(ctx, h, spec, log) })
	}
}

// endSessions ends the sessions with the virtual IPs once another host holds them. Its context ends where this host has
// one of them again: what began then is not of the move that it waits for.
func endSessions(ctx context.Context, h Host, spec state.InForce, log *slog.Logger) {
	for asked := 1; ; asked++ {
		elsewhere, err := h.AnyAnswers(ctx, spec.Interface, spec.VirtualIPs, holderWait)
		if err == nil && elsewhere {
			break
		}
		if asked == holderAsks {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(holderPause):
		}
	}
	if ctx.Err() != nil {
		return
	}
	switch n, err := h.EndSessions(ctx, spec.VirtualIPs, spec.Ports); {
	case err != nil:
		log.Warn("cannot end the connections that were open when the virtual IPs left this host: " + err.Error())
	case n > 0:
		log.Info(fmt.Sprintf("ended %d connections that were open when the virtual IPs left this host", n))
	}
}
