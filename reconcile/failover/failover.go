// Package failover decides whether this host may hold the virtual IPs, and tells keepalived within milliseconds.
//
//   - health watches the local HAProxy, and writes the tracked file: what it says is FAULT or not. Control planes do not
//     count: if all of them are down, no move helps. keepalived's own check of the unit stays as the second line, for
//     when the agent does not run.
//   - ownership sees to it that one host alone holds the virtual IPs: it removes addresses that were left behind, finds
//     other holders that keepalived does not hear (split brain), and decides which of the two stands down.
//   - vrrpProcess keeps keepalived's VRRP process real-time, and sees when it dies alone.
//
// Each of them is one goroutine that owns its state. None waits for the reconciler.
package failover

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"rlb.dev/rlb-agent/reconcile/backoff"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/wake"
)

// Config is what a Failover works with. All of it is required.
type Config struct {
	Host Host
	// Publish brings each new verdict to the status, after keepalived has it. Where it fails, it is called again later.
	Publish func(context.Context, state.GuardRecord) error
	Log     *slog.Logger
}

// Failover watches over the virtual IPs of this host. Make it with New.
type Failover struct {
	host      Host
	log       *slog.Logger
	health    *health
	ownership *ownership
	vrrp      *vrrpProcess
}

// New is a failover that does nothing until it runs.
func New(c Config) *Failover {
	health := newHealth(c.Host, c.Publish, c.Log)
	ownership := newOwnership(c.Host, health.conflicts, c.Log)
	health.holds = &ownership.holds
	return &Failover{host: c.Host, log: c.Log, health: health, ownership: ownership, vrrp: newVRRPProcess(c.Host, c.Log)}
}

// Run watches until ctx ends. It then clears the fault flag: an agent that does not run keeps no host in FAULT.
func (f *Failover) Run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { f.health.run(ctx) })
	all.Go(func() { f.ownership.run(ctx) })
	all.Go(func() { f.vrrp.run(ctx) })
	all.Go(func() {
		f.host.ServiceStates(ctx, host.HAProxyUnit, func(state string) { send(ctx, f.health.units, state) })
	})
	all.Go(func() {
		f.host.ServiceStates(ctx, host.KeepalivedUnit, func(state string) {
			send(ctx, f.ownership.units, state)
			send(ctx, f.vrrp.units, state)
		})
	})
	all.Go(func() { f.watchAddresses(ctx) })
}

// ApplyRuntimeState tells which spec is in force now, also the same again, whereupon everything is looked at anew. It
// waits until Run takes it.
func (f *Failover) ApplyRuntimeState(ctx context.Context, force state.InForce) {
	send(ctx, f.health.force, force)
	send(ctx, f.ownership.force, force)
	send(ctx, f.vrrp.force, force)
}

// TrackedFileChanged says that somebody may have changed the tracked file. It never waits.
func (f *Failover) TrackedFileChanged() { wake.Up(f.health.touched) }

// seldom is ring at most once in a pause: a call that comes too soon counts when the pause has passed. It is for one
// goroutine at a time.
func seldom(bell chan<- struct{}, pause time.Duration) func() {
	var last time.Time // that it rang, or is to ring
	return func() {
		switch left := time.Until(last.Add(pause)); {
		case left > pause: // it is still to ring
		case left > 0:
			last = last.Add(pause)
			time.AfterFunc(left, func() { wake.Up(bell) })
		default:
			last = time.Now()
			wake.Up(bell)
		}
	}
}

// rewatch is the pause before a watch that failed begins again.
func rewatch() *backoff.Backoff {
	return &backoff.Backoff{First: time.Second, Most: 30 * time.Second, Quiet: 30 * time.Second}
}

func (f *Failover) watchAddresses(ctx context.Context) {
	watch := func(ctx context.Context) error {
		return f.host.WatchAddresses(ctx, func() { wake.Up(f.ownership.moved) })
	}
	rewatch().Repeat(ctx, watch, func(err error) {
		f.log.Debug("cannot watch addresses", "err", err)
		wake.Up(f.ownership.moved)
	})
}

func send[T any](ctx context.Context, to chan<- T, what T) {
	select {
	case to <- what:
	case <-ctx.Done():
	}
}
