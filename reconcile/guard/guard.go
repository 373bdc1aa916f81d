// Package guard decides, from what it sees of the local HAProxy, whether this host may hold the virtual IPs, and tells
// keepalived within milliseconds. Only the local HAProxy counts: that all control planes are down is no reason to move
// them. keepalived's own polling of the unit stays as the second line, for when the agent is not there.
package guard

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
)

const (
	probePause   = 500 * time.Millisecond // between two probes of a HAProxy that serves
	startPause   = 20 * time.Millisecond  // … of one that starts: each is time without this host as a standby
	faultPause   = 250 * time.Millisecond // … of one that hangs, each leaves a connection in its backlog; or that must wait
	alonePause   = time.Second            // how long a host without a peer waits for a HAProxy that comes back
	flapMemory   = time.Minute            // faults within it make the next one last longer …
	longestFault = 30 * time.Second       // … up to this
)

// Guard is the watch over one HAProxy.
type Guard struct {
	// Answers asks HAProxy whether it serves, without patience: no answer says nothing yet. It takes 5 ms at most.
	Answers func() bool
	// Probe asks a HAProxy that did not answer at once. It takes half a second, and some for a busy one.
	Probe func(context.Context) host.HAProxyState
	// Alone says that no peer is there to take over. It takes some milliseconds.
	Alone func(context.Context) bool
	// Returns says that the virtual IPs, which another host holds, would come back to this one once it may hold them.
	Returns func(context.Context) bool
	// Tell brings a verdict to keepalived, and to the status.
	Tell func(context.Context, state.GuardRecord) error
	Log  *slog.Logger

	on     bool              // keepalived heeds the verdict
	rival  Conflict          // that another sees
	unit   string            // ActiveState of HAProxy's unit; "" is not known yet
	answer host.HAProxyState // to the last probe since the unit changed; "" is none
	told   state.GuardRecord // the last verdict
	failed error             // why it could not be told

	badSince time.Time   // of what this host, alone, waits for
	faults   []time.Time // within flapMemory
}

// Conflict is that another host holds the virtual IPs too. The zero value is that none does.
type Conflict struct {
	Text  string // who, and what to look at
	Yield bool   // it is this host that stays out
}

// Run guards until ctx ends, and then takes its word back: an agent that is not there keeps no host out. units brings
// each new ActiveState of HAProxy's unit; on says whether there is a keepalived that heeds the verdict; conflicts brings
// what a Holder sees, which is told beside the verdict and can be a reason for a fault.
func (g *Guard) Run(ctx context.Context, units <-chan string, on <-chan bool, conflicts <-chan Conflict) {
	defer func() {
		g.rival = Conflict{}
		g.release(context.WithoutCancel(ctx))
	}()
	var answers chan host.HAProxyState // of the probe that is under way; nil is none
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		changed := false
		select {
		case <-ctx.Done():
			return
		case g.on = <-on:
			if !g.on {
				g.release(ctx)
			}
		case g.unit = <-units:
			g.answer, changed = "", true
			answers = nil // of the process before
		case g.rival = <-conflicts:
			if !g.on {
				_ = g.Tell(ctx, state.GuardRecord{HAProxy: host.HAProxyUnknown, Conflict: g.rival.Text})
			}
		case g.answer = <-answers:
			answers = nil
		case <-timer.C:
			switch {
			case !g.on || !up(g.unit) || answers != nil:
			case g.Answers():
				g.answer = host.HAProxyAnswers
			default:
				mine := make(chan host.HAProxyState, 1)
				go func() { mine <- g.Probe(ctx) }()
				answers = mine
			}
		}
		if g.on {
			g.decide(ctx)
			if timer.Reset(g.pause()); changed && up(g.unit) {
				timer.Reset(0)
			}
		}
	}
}

// up says whether a unit with this ActiveState is to serve.
func up(state string) bool { return state == "active" || state == "reloading" || state == "refreshing" }

// pause is the time to the next look.
func (g *Guard) pause() time.Duration {
	switch {
	case !g.badSince.IsZero():
		return time.Until(g.badSince.Add(alonePause))
	case g.failed != nil:
		return probePause
	case !up(g.unit):
		return time.Hour // its next state will come by itself
	case g.answer == "":
		return startPause
	case g.told.Fault:
		return faultPause
	}
	return probePause
}

// decide tells keepalived what is new.
func (g *Guard) decide(ctx context.Context) {
	now := time.Now()
	haproxy, reason := g.verdict()
	if reason != "" && !g.told.Fault && g.wait(ctx, now) {
		return
	}
	g.badSince = time.Time{}
	switch {
	case reason == "" && g.rival.Yield:
		reason = g.rival.Text
		haproxy = cmp.Or(haproxy, host.HAProxyUnknown)
	case reason != "" && !g.told.Fault:
		g.faults = append(g.faults, now)
	case reason == "" && g.told.Fault && (haproxy == "" || g.damped(ctx, now)):
		return
	}
	if haproxy == "" {
		return
	}
	g.tell(ctx, state.GuardRecord{Fault: reason != "", Reason: reason, HAProxy: haproxy, Conflict: g.rival.Text}, now)
}

// verdict is the state of HAProxy, "" while nothing is known of it, and why this host must not hold the virtual IPs.
func (g *Guard) verdict() (state host.HAProxyState, reason string) {
	switch {
	case g.unit == "":
		return "", ""
	case g.unit == "deactivating":
		return host.HAProxyStopped, "haproxy is being stopped"
	case g.unit == "activating":
		return host.HAProxyStopped, "haproxy is being started"
	case g.unit == "failed":
		return host.HAProxyStopped, "haproxy failed"
	case !up(g.unit):
		return host.HAProxyStopped, "haproxy is stopped"
	case g.answer == host.HAProxyHung:
		return g.answer, "haproxy hangs: it runs and does not answer"
	}
	return g.answer, ""
}

// wait says whether the fault is to wait, since nobody could take over and HAProxy may be back before that costs more
// than it gains. A host that does not serve must make room for a peer that comes later.
func (g *Guard) wait(ctx context.Context, now time.Time) bool {
	if g.badSince.IsZero() {
		if !g.Alone(ctx) {
			return false
		}
		g.badSince = now
	}
	return now.Before(g.badSince.Add(alonePause))
}

// damped says whether the present fault is to last though its reason is gone. One at a time ends at once; where they come
// again and again, the virtual IPs are not to come and go each time. Where they would not come, or where nobody holds
// them, since the peer's HAProxy is no better off, there is nothing to wait for.
func (g *Guard) damped(ctx context.Context, now time.Time) bool {
	for len(g.faults) > 0 && now.Sub(g.faults[0]) > flapMemory {
		g.faults = g.faults[1:]
	}
	if len(g.faults) < 2 {
		return false
	}
	end := g.told.Since.Add(min(time.Second<<min(len(g.faults)-2, 10), longestFault))
	return now.Before(end) && g.Returns(ctx)
}

func (g *Guard) tell(ctx context.Context, r state.GuardRecord, now time.Time) {
	changed := r.Fault != g.told.Fault || g.told.Since.IsZero()
	r.Since = g.told.Since
	if changed {
		r.Since = now
	}
	if r == g.told && g.failed == nil {
		return
	}
	err := g.Tell(ctx, r)
	if err != nil && g.failed == nil {
		g.Log.Error("cannot tell keepalived how haproxy is", "err", err)
	}
	if g.failed = err; err != nil {
		return
	}
	switch was := g.told; {
	case r.Fault && changed:
		g.Log.Warn("this host stays out of the virtual IPs: " + r.Reason)
	case was.Fault && changed:
		g.Log.Info("this host may hold the virtual IPs again: haproxy "+string(r.HAProxy), "after", now.Sub(was.Since).Round(time.Millisecond).String())
	case r.HAProxy == host.HAProxyFull && was.HAProxy != r.HAProxy:
		g.Log.Warn("haproxy has as many connections as proxy.maxConnections lets it: new ones wait")
	case was.HAProxy == host.HAProxyFull && r.HAProxy == host.HAProxyAnswers:
		g.Log.Info("haproxy takes new connections again")
	}
	g.told = r
}

// release takes back what was said.
func (g *Guard) release(ctx context.Context) {
	_ = g.Tell(ctx, state.GuardRecord{HAProxy: host.HAProxyUnknown, Conflict: g.rival.Text})
	g.told, g.answer, g.failed, g.badSince = state.GuardRecord{}, "", nil, time.Time{}
}
