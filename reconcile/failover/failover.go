// Package failover decides whether this host may hold the virtual IPs, and tells keepalived within milliseconds.
//
//   - health watches the local HAProxy and writes the tracked file, which puts keepalived into FAULT or not. The servers
//     behind HAProxy do not count: if all of them are down, no move helps. keepalived's own check of the unit remains as a
//     second line for the time when the agent does not run.
//   - ownership ensures that only one host holds the virtual IPs: it removes addresses that were left behind, finds
//     other holders that keepalived does not hear (split brain), and decides which of the two stands down.
//   - vrrpProcess gives keepalived's VRRP process real-time priority, and detects that this process alone has died.
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

// Config configures a Failover. All fields are required.
type Config struct {
	Host Host
	// Publish writes each new verdict to the status, after keepalived has received it. If Publish fails, it is called again
	// later.
	Publish func(context.Context, state.GuardRecord) error
	// TookOver is called when this host has got virtual IPs and had none, also if it has them when Run begins. It must not
	// block.
	TookOver func()
	Log      *slog.Logger
}

// Failover monitors the virtual IPs of this host. Make it with New.
type Failover struct {
	host      Host
	log       *slog.Logger
	health    *health
	ownership *ownership
	vrrp      *vrrpProcess
	replaced  chan struct{} // a directory of the tracked files may have been replaced
}

// New returns a Failover that does nothing until Run is called.
func New(c Config) *Failover {
	health := newHealth(c.Host, c.Publish, c.Log)
	ownership := newOwnership(c.Host, health.conflicts, c.Log)
	health.holds, ownership.tookOver = &ownership.holds, c.TookOver
	return &Failover{host: c.Host, log: c.Log, health: health, ownership: ownership, vrrp: newVRRPProcess(c.Host, c.Log), replaced: make(chan struct{}, 1)}
}

// Run monitors until ctx ends. It then clears the fault flag, so that no host stays in FAULT without a running agent.
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
	all.Go(func() { f.trackAgain(ctx) })
}

// ApplyRuntimeState sets the spec in force. With the same spec again, it starts a new check of everything. It blocks until
// Run has received the spec.
func (f *Failover) ApplyRuntimeState(ctx context.Context, force state.InForce) {
	send(ctx, f.health.force, force)
	send(ctx, f.ownership.force, force)
	send(ctx, f.vrrp.force, force)
}

// TrackedFileChanged tells Run that another program may have changed a tracked file, or with replaced also a directory on
// its path. It never blocks.
func (f *Failover) TrackedFileChanged(replaced bool) {
	wake.Up(f.health.touched)
	if replaced {
		wake.Up(f.replaced)
	}
}

func (f *Failover) trackAgain(ctx context.Context) {
	pause := rewatch()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.replaced:
		}
		for err := f.host.TrackAgain(ctx); err != nil && ctx.Err() == nil; err = f.host.TrackAgain(ctx) {
			f.log.Error(err.Error())
			pause.Wait(ctx)
		}
	}
}

// seldom returns a function that wakes bell at most once in a pause. A call that comes too soon wakes it when the pause has
// passed. Only one goroutine at a time may call the function.
func seldom(bell chan<- struct{}, pause time.Duration) func() {
	var last time.Time // time of the last wake-up, past or planned
	return func() {
		switch left := time.Until(last.Add(pause)); {
		case left > pause: // a wake-up is already planned
		case left > 0:
			last = last.Add(pause)
			time.AfterFunc(left, func() { wake.Up(bell) })
		default:
			last = time.Now()
			wake.Up(bell)
		}
	}
}

// rewatch returns the back-off before a failed watch begins again.
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
