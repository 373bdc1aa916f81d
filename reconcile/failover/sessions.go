package failover

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render"
)

// After a move of the virtual IPs the connections of the former holder are dead: no host forwards their packets any more.
// Idle clients do not notice, and HAProxy still counts the connections. So the former holder ends them with a RST.
const (
	sessionsLast = render.ForwardTime + 150*time.Millisecond // how long connections are kept after the virtual IPs have left
	holderPause  = time.Second                               // between the first two searches for another holder of the virtual IPs
	longestPause = 10                                        // the longest pause, in holderPause
	holderWait   = 100 * time.Millisecond                    // how long a search waits for an answer
)

// endSessions starts ending the connections that a move has left on this host.
func (o *ownership) endSessions(ctx context.Context) {
	if !due(o.sessions) {
		return
	}
	o.sessions = time.Time{}
	if wait, err := state.ReadWait(ctx, o.host); err != nil || wait != nil {
		// The new holder goes on forwarding. At the end package serveon closes the connections, but only if another host
		// holds the virtual IPs then.
		o.sessions = time.Now().Add(holderPause)
		return
	}
	if o.spec.Hands && len(o.held) == 0 {
		o.keepSessions()
		ctx, o.keepSessions = context.WithCancel(ctx)
		h, spec, log := o.host, o.spec, o.log
		o.underway.Go(func() { endSessions(ctx, h, spec, log) })
	}
}

// endSessions ends the connections to the virtual IPs once another host holds these. That host is not found while the link
// of this one is down. The caller cancels ctx if this host gets a virtual IP again, because connections that begin then are
// new.
func endSessions(ctx context.Context, h Host, spec state.InForce, log *slog.Logger) {
	for asked := time.Duration(1); ; asked++ {
		elsewhere, err := h.AnyAnswers(ctx, spec.Interface, spec.VirtualIPs, holderWait)
		if err == nil && elsewhere {
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(asked, longestPause) * holderPause):
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
