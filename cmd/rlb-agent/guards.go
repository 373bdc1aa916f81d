package main

import (
	"context"
	"sync"
	"time"

	"rlb.dev/rlb-agent/reconcile/guard"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian"
	"rlb.dev/rlb-agent/reconcile/state"
)

const (
	lanPatience    = 20 * time.Millisecond  // how long a peer may take to show itself when there is no time to lose
	holderPatience = 100 * time.Millisecond // … when there is some
)

// guards are what watches over the virtual IPs beside the reconciling: it must not wait for apt.
type guards struct {
	*app
	host  *debian.Host
	heeds chan bool // whether keepalived heeds the guard
	knows chan state.InForce

	slow  sync.Once
	mutex sync.Mutex
	force state.InForce // what they know of the spec in force
}

// startGuards begins to watch; they end with ctx, and wait is for the last of them.
func (a *app) startGuards(ctx context.Context, h *debian.Host) (g *guards, wait func()) {
	g = &guards{app: a, host: h, heeds: make(chan bool), knows: make(chan state.InForce)}
	var all sync.WaitGroup
	states := func(unit string) <-chan string {
		states := make(chan string)
		all.Go(func() {
			h.ServiceStates(ctx, unit, func(state string) {
				if unit == host.KeepalivedUnit && state == "active" {
					g.hasten(ctx)
				}
				select {
				case states <- state:
				case <-ctx.Done():
				}
			})
		})
		return states
	}
	haproxy, keepalived := states(host.HAProxyUnit), states(host.KeepalivedUnit)
	conflicts := make(chan guard.Conflict)
	watch := guard.Guard{Answers: h.HAProxyAnswers, Probe: h.ProbeHAProxy, Alone: g.alone, Returns: g.returns, Tell: g.tell, Log: a.log}
	all.Go(func() { watch.Run(ctx, haproxy, g.heeds, conflicts) })
	moved := make(chan struct{}, 1)
	all.Go(func() { g.watchAddresses(ctx, moved) })
	holder := g.holder(conflicts)
	all.Go(func() { holder.Run(ctx, g.knows, keepalived, moved) })
	g.heed(ctx)
	return g, all.Wait
}

// heed makes the guards know the spec that is in force now.
func (g *guards) heed(ctx context.Context) {
	force, err := state.ReadInForce(ctx, g.host)
	if err != nil {
		g.log.Warn("cannot tell what is in force here: " + err.Error())
		return
	}
	if force == nil {
		force = new(state.InForce)
	}
	g.mutex.Lock()
	g.force = *force
	g.mutex.Unlock()
	select {
	case g.heeds <- force.Tracks:
	case <-ctx.Done():
	}
	select {
	case g.knows <- *force:
	case <-ctx.Done():
	}
	g.hasten(ctx)
}

// hasten makes keepalived real-time, which does not last over its restart. A machine that does not let us, as some
// containers, is told of once.
func (g *guards) hasten(ctx context.Context) {
	unit, err := g.host.Unit(ctx, host.KeepalivedUnit)
	if err != nil || !unit.Active() || !g.inForce().Tracks {
		return
	}
	if err := g.host.HastenVRRP(ctx, unit.MainPID); err != nil {
		g.slow.Do(func() { g.log.Warn("advertisements may be late on a busy machine: " + err.Error()) })
	}
}

func (g *guards) inForce() state.InForce {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	return g.force
}

// alone says that no peer is there. Where the spec names none, one may be.
func (g *guards) alone(ctx context.Context) bool {
	force := g.inForce()
	if len(force.Peers) == 0 {
		return false
	}
	answered, err := g.host.AnyAnswers(ctx, force.Interface, force.Peers, lanPatience)
	return err == nil && !answered
}

// returns says that another host holds the virtual IPs and that keepalived would take them back, also where it is not
// known whether one does.
func (g *guards) returns(ctx context.Context) bool {
	force := g.inForce()
	if !force.Preempt {
		return false
	}
	held, err := g.host.AnyAnswers(ctx, force.Interface, force.VirtualIPs, holderPatience)
	return err != nil || held
}

// tell brings the guard's word to keepalived first.
func (g *guards) tell(ctx context.Context, r state.GuardRecord) error {
	if err := g.host.TellKeepalived(r.Fault); err != nil {
		return err
	}
	return r.Write(ctx, g.host)
}
