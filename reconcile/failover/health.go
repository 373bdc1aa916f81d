package failover

import (
	"cmp"
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/wake"
)

const (
	probePause = 500 * time.Millisecond // between two probes of HAProxy on a host without virtual IPs
	servePause = 150 * time.Millisecond // … on a host that holds a virtual IP
	startPause = 20 * time.Millisecond  // … while HAProxy starts: this host is no standby until HAProxy answers
	faultPause = 250 * time.Millisecond // … while HAProxy hangs: each probe leaves a connection in its backlog
)

// health watches the local HAProxy and decides whether this host is in FAULT. Only health writes the tracked file.
type health struct {
	host    Host
	publish func(context.Context, state.GuardRecord) error
	log     *slog.Logger

	units     chan string        // new ActiveStates of HAProxy's unit
	force     chan state.InForce // the spec in force
	conflicts chan conflict      // conflicts with other holders, from ownership
	touched   chan struct{}      // the tracked file may have changed
	holds     *atomic.Bool       // this host holds a virtual IP; set by ownership

	spec     state.InForce
	conflict conflict
	unit     string            // ActiveState of HAProxy's unit; "" if not known yet
	answer   host.HAProxyState // to the last probe since the unit changed; "" if there is none
	file     trackedFile
	last     state.GuardRecord // the last verdict
	failed   error             // why the last verdict could not be written

	timers   punctuality
	due      time.Time   // when to probe next
	badSince time.Time   // since when a host without a peer waits for HAProxy to come back; zero if it does not wait
	faults   []time.Time // beginnings of the faults within flapMemory
}

// conflict describes another host that holds the virtual IPs too. The zero value means that there is none.
type conflict struct {
	text      string // which host, and what to check
	standDown bool   // this host must enter FAULT
	idle      bool   // the other machine only answers for the addresses and serves nothing: it causes no FAULT
}

// on returns a record with the conflict added.
func (c conflict) on(r state.GuardRecord) state.GuardRecord {
	if r.Conflict = c.text; c.idle {
		r.Conflict, r.Claimed = "", c.text
	}
	return r
}

func newHealth(h Host, publish func(context.Context, state.GuardRecord) error, log *slog.Logger) *health {
	return &health{
		host: h, publish: publish, log: log, file: trackedFile{host: h},
		units: make(chan string), force: make(chan state.InForce), conflicts: make(chan conflict), touched: make(chan struct{}, 1),
		holds: new(atomic.Bool),
	}
}

func (h *health) run(ctx context.Context) {
	defer func() {
		h.conflict = conflict{}
		h.clear(context.WithoutCancel(ctx))
	}()
	var answers chan host.HAProxyState // the answer of the running probe; nil if none runs
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		probe := false
		select {
		case <-ctx.Done():
			return
		case h.spec = <-h.force:
			if !h.spec.Tracks {
				h.clear(ctx)
			}
		case h.unit = <-h.units:
			h.answer, probe = "", up(h.unit)
			answers = nil // a running probe asks the former process
		case h.conflict = <-h.conflicts:
			if !h.spec.Tracks {
				_ = h.publish(ctx, h.conflict.on(state.GuardRecord{HAProxy: host.HAProxyUnknown})) // the next conflict message repeats it
			}
		case h.answer = <-answers:
			answers = nil
		case <-h.touched:
			if h.repairFile(ctx) == nil {
				continue // without a delay of the next probe
			}
		case <-timer.C:
			h.timers.note(h.due, time.Now())
			if h.spec.Tracks && up(h.unit) && answers == nil {
				answers = h.probe(ctx)
			}
		}
		if h.spec.Tracks {
			h.decide(ctx)
			pause := h.pause()
			if probe {
				pause = 0
			}
			h.due = time.Now().Add(pause)
			timer.Reset(pause)
		}
	}
}

// probe asks HAProxy for its state. If HAProxy does not answer at once, a longer probe runs in the background and sends its
// answer to the returned channel.
func (h *health) probe(ctx context.Context) chan host.HAProxyState {
	if h.host.HAProxyAnswers() {
		h.answer = host.HAProxyAnswers
		return nil
	}
	answers := make(chan host.HAProxyState, 1)
	haste := h.timers.punctual(time.Now())
	go func() { answers <- h.host.ProbeHAProxy(ctx, haste) }()
	return answers
}

// up says whether a unit with this ActiveState should serve.
func up(state string) bool { return state == "active" || state == "reloading" || state == "refreshing" }

// pause is the time to the next probe.
func (h *health) pause() time.Duration {
	switch {
	case !h.badSince.IsZero():
		return time.Until(h.badSince.Add(alonePause))
	case h.failed != nil:
		return probePause
	case !up(h.unit):
		return time.Hour // health receives the unit's next state without a probe
	case h.answer == "":
		return startPause
	case h.last.Fault:
		return faultPause
	case h.holds.Load():
		return servePause
	}
	return probePause
}

// decide decides on FAULT, and writes the verdict if it is new.
func (h *health) decide(ctx context.Context) {
	now := time.Now()
	haproxy, reason := h.haproxy()
	if reason != "" && !h.last.Fault && h.waitAlone(ctx, now) {
		return
	}
	h.badSince = time.Time{}
	switch {
	case reason == "" && h.conflict.standDown:
		reason = h.conflict.text
		haproxy = cmp.Or(haproxy, host.HAProxyUnknown)
	case reason != "" && !h.last.Fault && h.failed == nil: // a verdict that could not be written is decided again
		h.faults = append(h.faults, now)
	case reason == "" && h.last.Fault && (haproxy == "" || h.flaps(ctx, now)):
		return
	}
	if haproxy == "" {
		return
	}
	h.write(ctx, h.conflict.on(state.GuardRecord{Fault: reason != "", Reason: reason, HAProxy: haproxy}), now)
}

// haproxy returns the state of HAProxy, "" while it is unknown, and the reason why this host must not hold the virtual IPs.
func (h *health) haproxy() (state host.HAProxyState, reason string) {
	switch {
	case h.unit == "":
		return "", ""
	case h.unit == "deactivating":
		return host.HAProxyStopped, "haproxy.service is stopping"
	case h.unit == "activating":
		return host.HAProxyStopped, "haproxy.service is starting"
	case h.unit == "failed":
		return host.HAProxyStopped, "haproxy.service failed"
	case !up(h.unit):
		return host.HAProxyStopped, "haproxy.service is stopped"
	case h.answer == host.HAProxyHung:
		return h.answer, "haproxy hangs: it runs and does not answer"
	}
	return h.answer, ""
}

// write writes a verdict for keepalived first, then to the status.
func (h *health) write(ctx context.Context, r state.GuardRecord, now time.Time) {
	changed := r.Fault != h.last.Fault || h.last.Since.IsZero()
	r.Since = h.last.Since
	if changed {
		r.Since = now
	}
	if r == h.last && h.failed == nil {
		return
	}
	err := h.file.write(r.Fault)
	if err == nil {
		err = h.publish(ctx, r)
	}
	if h.logFailure(err); err != nil {
		return
	}
	h.logChange(r, changed, now)
	h.last = r
}

// logFailure logs once that verdicts cannot be written, until one has been written again.
func (h *health) logFailure(err error) {
	if err != nil && h.failed == nil {
		h.log.Error("cannot write the fault flag for keepalived", "err", err)
	}
	h.failed = err
}

// logChange logs what a new verdict changes.
func (h *health) logChange(r state.GuardRecord, changed bool, now time.Time) {
	switch last := h.last; {
	case r.Fault && changed:
		h.log.Warn("entering FAULT: " + r.Reason)
	case last.Fault && changed:
		h.log.Info("leaving FAULT: haproxy "+string(r.HAProxy), "after", now.Sub(last.Since).Round(time.Millisecond).String())
	case r.HAProxy == host.HAProxyFull && last.HAProxy != r.HAProxy:
		h.log.Warn("haproxy is at its connection limit (proxy.maxConnections): new connections wait")
	case last.HAProxy == host.HAProxyFull && r.HAProxy == host.HAProxyAnswers:
		h.log.Info("haproxy is below its connection limit again")
	}
}

// repairFile restores the tracked file if another program changed it.
func (h *health) repairFile(ctx context.Context) error {
	repaired, again, err := h.file.repair(ctx)
	switch {
	case err != nil:
		h.logFailure(err)
	case repaired:
		h.log.Warn("restored the fault flag for keepalived: another program had changed it")
	case again > 0:
		time.AfterFunc(again, func() { wake.Up(h.touched) })
	}
	return err
}

// clear clears the fault flag and the state that led to it.
func (h *health) clear(ctx context.Context) {
	if err := h.file.write(false); err != nil {
		h.log.Error("cannot clear the fault flag for keepalived", "err", err)
	}
	_ = h.publish(ctx, h.conflict.on(state.GuardRecord{HAProxy: host.HAProxyUnknown})) // the next verdict repeats it
	h.last, h.answer, h.failed, h.badSince, h.file.written = state.GuardRecord{}, "", nil, time.Time{}, false
}
