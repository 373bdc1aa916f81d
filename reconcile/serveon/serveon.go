// Package serveon keeps the connections of a host that has handed the virtual IPs over: the host goes on serving them until
// they end, or until a deadline (drain --wait). This package calls that period a wait.
//
// The new holder forwards the packets of these connections to this host for as long as heartbeats of this host arrive. The
// agent sends a heartbeat only after HAProxy has answered. If this host dies, its HAProxy hangs, or its agent stops, the
// heartbeats end, and the new holder resets the clients' connections (Successor). At the end of the wait this host resets
// the connections that are left, so that idle clients learn of the end too.
package serveon

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"rlb.dev/rlb-agent/reconcile/backoff"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/wake"
)

// The first and the longest pause before a wait that could not begin is tried again.
const (
	keepAgain    = 200 * time.Millisecond // the new holder forwards for longer, see render.ForwardTime
	longestAgain = time.Minute
)

// Host is the part of the machine that a Keeper uses.
type Host interface {
	host.Host
	// HAProxyServes says whether HAProxy answers on its runtime API within 150 ms.
	HAProxyServes(ctx context.Context) bool
	// SendHeartbeat sends a heartbeat from an address of an interface to each address in to.
	SendHeartbeat(iface string, from netip.Addr, to []netip.Addr, heartbeat uint64) error
	// CountSessions counts the TCP connections to these addresses and ports of this host.
	CountSessions(ctx context.Context, addrs []netip.Addr, ports []uint16) (int, error)
	// SweepSessions removes the connections to these addresses and ports that have ended. An entry in TIME_WAIT would catch
	// a later connection from the same client port.
	SweepSessions(ctx context.Context, addrs []netip.Addr, ports []uint16) error
	// EndSessions ends the TCP connections to these addresses and ports of this host and sends a RST to their peers.
	EndSessions(ctx context.Context, addrs []netip.Addr, ports []uint16) (n int, err error)
	// AnyAnswers says whether another host answers for one of these addresses within wait.
	AnyAnswers(ctx context.Context, iface string, addrs []netip.Addr, wait time.Duration) (bool, error)
}

// Keeper runs the waits of this host, one at a time. Make it with New.
type Keeper struct {
	host    Host
	changed func(state.Waiting)
	log     *slog.Logger
	bell    chan struct{} // the record may have changed
}

// New returns a keeper that does nothing until Run is called. The keeper calls changed when a wait begins, every second while
// the wait is active, and when it ends. changed may be nil. changed must not block.
func New(h Host, log *slog.Logger, changed func(state.Waiting)) *Keeper {
	if changed == nil {
		changed = func(state.Waiting) {}
	}
	return &Keeper{host: h, changed: changed, log: log, bell: make(chan struct{}, 1)}
}

// RecordChanged tells the keeper that state.WaitFile may have changed. It never blocks.
func (k *Keeper) RecordChanged() { wake.Up(k.bell) }

// Run runs the waits of state.WaitFile until ctx ends. It leaves a wait that is active then to the next keeper. If the next
// keeper starts before the new holder stops forwarding, no client notices the change.
func (k *Keeper) Run(ctx context.Context) {
	retry := backoff.Backoff{First: keepAgain, Most: longestAgain, Quiet: longestAgain}
	for {
		var again <-chan time.Time
		if k.Keep(ctx) != nil {
			again = time.After(retry.Next())
		}
		select {
		case <-ctx.Done():
			return
		case <-k.bell:
		case <-again: // else nobody serves the wait, and package failover leaves the connections to it
		}
	}
}

// Keep runs the active wait, if any, until the wait or ctx ends. It logs an error that it returns.
func (k *Keeper) Keep(ctx context.Context) error {
	s, err := k.newService(ctx)
	switch {
	case err != nil && ctx.Err() == nil:
		k.log.Warn("cannot keep serving the connections of a drained host: " + err.Error())
	case s != nil:
		s.run(ctx)
	}
	return err
}

// Close ends the active wait, if any, and closes the connections that are left. why is the reason that is logged.
func (k *Keeper) Close(ctx context.Context, why string) {
	switch s, err := k.newService(ctx); {
	case err != nil:
		k.log.Warn("cannot close the connections of a drained host: " + err.Error())
	case s != nil:
		s.end(ctx, why)
	}
}
