package model

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/failover"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/wake"
)

// startRejoin starts rlb-agent rejoin in its own unit. The process runs the real failover.Rejoin.
func (m *machine) startRejoin() {
	if m.rejoin != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	a := &agent{m: m, cancel: cancel}
	m.rejoin = a
	c := commandOf(a)
	m.processes.Go(func() {
		a.spend(ctx, 10*time.Millisecond, 50*time.Millisecond)
		err := failover.Rejoin(ctx, c, teller{m.world, m.name + " rejoin"}.logger())
		m.Lock()
		defer m.Unlock()
		if m.rejoin == a {
			m.tell("%s: rejoin has ended: %v", m.name, err)
			m.endRejoin()
			m.soon(time.Millisecond, 10*time.Millisecond, func() { m.changes(host.RejoinUnit) })
		}
	})
}

// endRejoin ends the rejoin process by a signal.
func (m *machine) endRejoin() {
	if a := m.rejoin; a != nil {
		m.rejoin, a.dead = nil, true
		a.cancel()
		a.stop(false)
	}
}

// changes wakes the agent after a change of a unit if the agent watches that unit.
func (m *machine) changes(unit string) {
	if slices.Contains(plan.WatchedUnits, unit) {
		m.news()
	}
}

// killRejoin kills the rejoin process (SIGKILL).
func (m *machine) killRejoin() {
	if m.rejoin != nil {
		m.endRejoin()
		m.soon(time.Millisecond, 10*time.Millisecond, func() { m.changes(host.RejoinUnit) })
	}
}

// edit gives a host another spec file.
func (m *machine) edit(doc *api.Document) {
	m.tell("%s: the spec is edited: router %d", m.name, *doc.Spec.VRRP.RouterID)
	m.wanted = doc
	m.news()
}

// news wakes the agent.
func (m *machine) news() {
	if m.agent != nil {
		wake.Up(m.agent.bell)
	}
}

// The pauses of the daemon after a run, and until a failed run is repeated.
const (
	lookPause  = 100 * time.Millisecond
	retryPause = 2 * time.Second
)

// keep is a small version of the loop in cmd/rlb-agent/daemon: it brings each new spec into force with the real
// reconcile.Reconciler, and repairs an interrupted change of the virtual router. It repeats a failed run. It repairs no other
// drift.
func (a *agent) keep(ctx context.Context, over *failover.Failover) {
	for ctx.Err() == nil {
		again := time.Minute // reconcile.interval
		if a.differs() {
			again = lookPause
			if err := a.reconcile(ctx, over); err != nil && ctx.Err() == nil {
				again = retryPause
				a.m.Lock()
				a.m.tell("%s: %v", a.m.name, err)
				a.m.Unlock()
			}
		}
		timer := time.NewTimer(again)
		select {
		case <-ctx.Done():
		case <-a.bell:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// differs says whether the spec file is not in force, or a rejoin process is missing.
func (a *agent) differs() (differs bool) {
	_ = a.do(func() {
		m := a.m
		differs = m.undone || m.wanted.Digest != m.doc.Digest || m.former != nil && m.rejoin == nil
	})
	return differs
}

// reconcile brings the spec file into force.
func (a *agent) reconcile(ctx context.Context, over *failover.Failover) error {
	unlock, err := a.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	var c *command
	var doc *api.Document
	if err := a.do(func() { c, doc, a.m.undone = commandOf(a), a.m.wanted, true }); err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	r := reconcile.Reconciler{Host: c, Log: log, Rejoin: []string{"/usr/sbin/rlb-agent", "rejoin"}}
	if _, err := r.Once(ctx, doc); err != nil {
		return err
	}
	force, err := state.ReadInForce(ctx, c)
	if err != nil {
		return err
	}
	force.Spec = nil // as the daemon does
	if err := a.do(func() { a.m.doc, a.m.force, a.m.undone = doc, *force, false }); err != nil {
		return err
	}
	over.ApplyRuntimeState(ctx, *force)
	return nil
}
