package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/cmd/rlb-agent/export"
	"rlb.dev/rlb-agent/reconcile/backoff"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/peers"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/status"
)

// reporter keeps the status of this host: it passes the results of runs and of failover to the exporter, and writes
// them to files for other programs.
type reporter struct {
	host     host.Host
	version  string
	log      *slog.Logger
	exporter *export.Exporter // nil: none
	peering  *peering         // nil: none

	health atomic.Pointer[state.GuardRecord] // failover's last verdict; nil before the first
	mutex  sync.Mutex                        // guards what is below; held while the status file is written
	last   status.Status                     // the status that was last written

	lastRole host.Role // the role that was last logged; "" before the first

	recheck func()          // asks for another look at the role; may be nil
	pause   backoff.Backoff // back-off of recheck
	timer   *time.Timer     // of the next recheck; nil before the first
}

// keepalived does not report when a fault that it found itself is over: its check of HAProxy, or the interface. So the
// role is read again.
const (
	firstRecheck = time.Second // keepalived's check runs every second
	mostRecheck  = 30 * time.Second
)

func newReporter(h host.Host, version string, log *slog.Logger) *reporter {
	return &reporter{host: h, version: version, log: log, pause: backoff.Backoff{First: firstRecheck, Most: mostRecheck}}
}

// ran reports the result of a run. The status file does not affect the host, so a failure to write it is only logged.
func (r *reporter) ran(ctx context.Context, run status.Report) {
	run.Agent, run.Health = r.version, r.health.Load()
	r.mutex.Lock()
	now, err := status.Write(ctx, r.host, run)
	if now.Kind != "" { // else the host's state cannot be read, and nothing is known to have changed
		r.took(now)
	}
	if r.exporter != nil {
		r.exporter.RunEnded(now, run.Result) // with the mutex, so that no older status comes after a newer one
	}
	r.mutex.Unlock()
	if err != nil {
		r.log.Warn(err.Error())
	}
}

// publish passes failover's verdict to the exporter and writes it to a file for other programs. It never waits for the
// status.
func (r *reporter) publish(ctx context.Context, verdict state.GuardRecord) error {
	r.health.Store(&verdict)
	if r.exporter != nil {
		r.exporter.HealthChanged()
	}
	return verdict.Write(ctx, r.host)
}

// Follow updates the status file after an event between two runs.
func (r *reporter) Follow(ctx context.Context, doc *api.Document) (status.Status, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	s, err := status.Follow(ctx, r.host, doc, r.health.Load())
	if err == nil && s.Kind != "" {
		r.took(s)
	}
	return s, err
}

// took takes over the status that was written last. r.mutex must be held.
func (r *reporter) took(s status.Status) {
	r.logRole(s)
	r.last = s
	r.recheckFault(s)
	if r.peering != nil {
		r.peering.hostIs(s)
	}
}

// recheckFault schedules another look at the role while keepalived is in FAULT for its own reasons, not because of the
// agent. r.mutex must be held.
func (r *reporter) recheckFault(s status.Status) {
	if r.timer != nil {
		r.timer.Stop()
	}
	verdict := r.health.Load()
	if s.Role != host.RoleFault || s.Drained || verdict == nil || verdict.Fault || r.recheck == nil {
		r.pause.Reset()
		return
	}
	r.timer = time.AfterFunc(r.pause.Next(), r.recheck)
}

// peersChanged adds the peers' reports to the status.
func (r *reporter) peersChanged(ctx context.Context, table peers.Table) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.last.Kind == "" {
		return // the next run writes one
	}
	r.last = r.last.WithPeers(table, time.Now())
	if err := r.last.Write(ctx, r.host); err != nil && ctx.Err() == nil {
		r.log.Warn("cannot bring the status up to date", "err", err)
	}
	if r.exporter != nil {
		r.exporter.StatusChanged(r.last)
	}
}

// logRole logs a change of the role, once. An unknown role is not a change.
func (r *reporter) logRole(now status.Status) {
	known := func(role host.Role) bool { return role != "" && role != host.RoleUnknown }
	if now.Role == r.lastRole || !known(now.Role) {
		return
	}
	was := r.lastRole
	r.lastRole = now.Role
	text := fmt.Sprintf("this host is %s", now.Role)
	if known(was) {
		text = fmt.Sprintf("this host is %s, it was %s", now.Role, was)
	}
	if now.RoleReason != "" {
		text += ": " + now.RoleReason
	}
	r.log.Info(text, "role", string(now.Role), "was", string(was), "why", now.RoleReason)
}

// restore writes the last status again after somebody removed or corrupted the file.
func (r *reporter) restore(ctx context.Context) error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.last.Kind == "" {
		return nil // the next run writes one
	}
	return r.last.Write(ctx, r.host)
}

// Refresh updates a recent status.
func (r *reporter) Refresh(ctx context.Context, doc *api.Document, s status.Status) (status.Status, error) {
	return status.Refresh(ctx, r.host, doc, s, r.health.Load())
}
