// Package serveon keeps the connections of a host that has handed the virtual IPs over: it goes on serving them until they
// end, or until a deadline (drain --wait).
//
// The new holder forwards their packets to this host for as long as heartbeats of this host come. A heartbeat is sent only
// after HAProxy has answered. Where this host dies, its HAProxy hangs, or its agent stops, the heartbeats end, and the new
// holder tells the clients (Successor). What is left at the end of the wait is closed from here, so that quiet clients are
// told too.
package serveon

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/wake"
)

// Host is what a Keeper needs of the machine.
type Host interface {
	host.Host
	// HAProxyServes says whether HAProxy answers on its runtime API within 150 ms.
	HAProxyServes(ctx context.Context) bool
	// SendHeartbeat sends a heartbeat from an address of an interface to each of these.
	SendHeartbeat(iface string, from netip.Addr, to []netip.Addr, heartbeat uint64) error
	// CountSessions counts the TCP connections to these addresses and ports of this host.
	CountSessions(ctx context.Context, addrs []netip.Addr, ports []uint16) (int, error)
	// SweepSessions forgets those of them that are over: one in TIME_WAIT would catch a later connection of the same client
	// port.
	SweepSessions(ctx context.Context, addrs []netip.Addr, ports []uint16) error
	// EndSessions ends the TCP connections to these addresses and ports of this host, and tells their peers (RST).
	EndSessions(ctx context.Context, addrs []netip.Addr, ports []uint16) (n int, err error)
	// AnyAnswers says whether another host answers for one of these addresses, at most after wait.
	AnyAnswers(ctx context.Context, iface string, addrs []netip.Addr, wait time.Duration) (bool, error)
}

// Keeper keeps the waits of this host, one at a time. Make it with New.
type Keeper struct {
	host Host
	told func(state.Waiting)
	log  *slog.Logger
	bell chan struct{} // the record may have changed
}

// New is a keeper that does nothing until it runs. told, which may be nil, is called every second while a wait is on, and
// when it begins and ends; it must not wait.
func New(h Host, log *slog.Logger, told func(state.Waiting)) *Keeper {
	if told == nil {
		told = func(state.Waiting) {}
	}
	return &Keeper{host: h, told: told, log: log, bell: make(chan struct{}, 1)}
}

// RecordChanged says that state.WaitFile may have changed. It never waits.
func (k *Keeper) RecordChanged() { wake.Up(k.bell) }

// Run keeps what state.WaitFile says until ctx ends. A wait that is on then is left to the next keeper: within
// render.HeartbeatLife nobody notices.
func (k *Keeper) Run(ctx context.Context) {
	for {
		k.Keep(ctx)
		select {
		case <-ctx.Done():
			return
		case <-k.bell:
		}
	}
}

// Keep keeps the wait that is on, if there is one, until it or ctx ends.
func (k *Keeper) Keep(ctx context.Context) {
	switch s, err := k.newService(ctx); {
	case err != nil && ctx.Err() == nil:
		k.log.Warn("cannot keep serving the connections of a drained host: " + err.Error())
	case s != nil:
		s.run(ctx)
	}
}

// Close ends the wait that is on, if there is one, and closes what is left.
func (k *Keeper) Close(ctx context.Context, why string) {
	switch s, err := k.newService(ctx); {
	case err != nil:
		k.log.Warn("cannot close the connections of a drained host: " + err.Error())
	case s != nil:
		s.end(ctx, why)
	}
}
