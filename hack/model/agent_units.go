package model

import (
	"context"
	"errors"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/patience"
	"rlb.dev/rlb-agent/render"
)

// The timeouts for a silent program, as in reconcile/host/debian: askPatience and healthPatience plus statsPatience of
// package haproxy, dumpPatience of package debian. The shorter timeouts come from package patience itself.
const (
	askPatience   = 5 * time.Millisecond
	probePatience = 450 * time.Millisecond
	dumpPatience  = 500 * time.Millisecond
)

// quickly is the time of a cheap system call, askSystemd that of a query to systemd (facts: 5 ms for is-active).
const (
	quickly, askSystemd = 200 * time.Microsecond, 5 * time.Millisecond
)

// systemd returns the longest time of a query to systemd. One in 20 queries may take 20 times as long, because systemd is busy.
func (a *agent) systemd() time.Duration {
	a.m.Lock()
	defer a.m.Unlock()
	if a.m.random("systemd "+a.m.name).IntN(20) == 0 {
		return 20 * askSystemd
	}
	return askSystemd
}

// service returns HAProxy's or keepalived's unit.
func (m *machine) service(name string) *unit {
	if name == host.HAProxyUnit {
		return &m.haproxy.unit
	}
	return &m.keepalived.unit
}

// ServiceStates calls changed with each new state of a unit.
func (a *agent) ServiceStates(ctx context.Context, name string, changed func(state string)) {
	u := a.m.service(name)
	bell := make(chan struct{}, 1)
	bell <- struct{}{} // reports the current state first
	end := func() {}
	_ = a.do(func() { end = u.watch(bell) }) // a dead agent gets no states
	defer func() { a.m.Lock(); defer a.m.Unlock(); end() }()
	for last := ""; ; {
		select {
		case <-ctx.Done():
			return
		case <-bell:
		}
		var now string
		if a.call(ctx, quickly, 3*time.Millisecond, func() { now = u.state }) == nil && now != last {
			last = now
			changed(now)
		}
	}
}

// Unit returns systemd's state of a unit.
func (a *agent) Unit(ctx context.Context, name string) (u host.Unit, err error) {
	err = a.call(ctx, quickly, a.systemd(), func() { u = a.m.service(name).facts(name) })
	return u, err
}

// HAProxyAnswers says whether HAProxy answers at once.
func (a *agent) HAProxyAnswers() (answers bool) {
	running := false
	_ = a.call(context.Background(), quickly, time.Millisecond, func() { answers, running = a.m.haproxy.answers(), a.m.haproxy.running })
	if running && !answers {
		time.Sleep(askPatience)
	}
	a.gate(context.Background())
	return answers
}

// ProbeHAProxy probes with a longer timeout. In the model a hung HAProxy neither runs nor waits for a CPU.
func (a *agent) ProbeHAProxy(ctx context.Context, haste bool) host.HAProxyState {
	need := probePatience
	if haste {
		need = patience.Hasty
	}
	for silence := patience.New(time.Now(), need); ; {
		state := host.HAProxyUnknown
		if a.do(func() {
			switch h := a.m.haproxy; {
			case h.answers():
				state = host.HAProxyAnswers
			case h.running:
				state = host.HAProxyHung
			}
		}) != nil || state != host.HAProxyHung || silence.Over(time.Now()) {
			return state
		}
		a.spend(ctx, patience.Tick, patience.Tick+time.Millisecond)
	}
}

// VRRP asks keepalived for its state.
func (a *agent) VRRP(ctx context.Context, pid int) ([]host.Instance, error) {
	return a.ask(ctx, pid, patience.New(time.Now(), dumpPatience))
}

// VRRPAtOnce is VRRP with a shorter timeout.
func (a *agent) VRRPAtOnce(ctx context.Context, pid int) ([]host.Instance, error) {
	return a.ask(ctx, pid, patience.New(time.Now(), patience.Hasty))
}

func (a *agent) ask(ctx context.Context, pid int, silence *patience.Patience) ([]host.Instance, error) {
	for {
		var found []host.Instance
		gone := false
		if err := a.do(func() {
			switch k := a.m.keepalived; {
			case k.pid != pid:
				gone = true
			case !k.stopped && k.vrrp != nil && k.vrrp.begun:
				found = []host.Instance{{Name: "HA-CLUSTER", Role: k.vrrp.state}}
			}
		}); err != nil {
			return nil, err
		}
		a.spend(ctx, patience.Tick, patience.Tick+time.Millisecond)
		switch {
		case gone:
			return nil, errors.New("cannot get keepalived's state: there is no such process")
		case found != nil:
			return found, nil
		case silence.Over(time.Now()) || ctx.Err() != nil:
			return nil, host.ErrNoAnswer
		}
	}
}

// TellKeepalived writes the tracked file.
func (a *agent) TellKeepalived(fault bool) error {
	return a.call(context.Background(), quickly, time.Millisecond, func() { a.m.setFault(fault) })
}

// TrackAgain does nothing: in the model no directory is removed.
func (a *agent) TrackAgain(context.Context) error { return nil }

// File returns the tracked file.
func (a *agent) File(ctx context.Context, path string) (f host.File, err error) {
	err = a.do(func() {
		f = host.File{Path: path, Exists: path == render.FaultFile, Data: []byte(render.TrackedText(a.m.fault))}
	})
	return f, err
}

// KillUnit kills keepalived.
func (a *agent) KillUnit(ctx context.Context, _ string) error {
	return a.call(ctx, quickly, a.systemd(), a.m.keepalived.kill)
}

// HastenVRRP does nothing: in the model a VRRP process is late only if its host stalls.
func (a *agent) HastenVRRP(context.Context, int) error { return nil }

// AwaitChildEnd waits for the end of the VRRP process and then calls then.
func (a *agent) AwaitChildEnd(ctx context.Context, parent int, then func()) error {
	ended := make(chan struct{}, 1)
	none := false
	if err := a.do(func() {
		if k := a.m.keepalived; k.pid != parent || k.vrrp == nil {
			none = true
		} else {
			k.ended = append(k.ended, ended)
		}
	}); err != nil {
		return err
	}
	if none {
		return errors.New("cannot wait for the end of a child: it has none")
	}
	select {
	case <-ended:
	case <-ctx.Done():
		return ctx.Err()
	}
	a.spend(ctx, 50*time.Microsecond, time.Millisecond)
	then()
	return nil
}

// Suspend stops keepalived.
func (a *agent) Suspend(pid int) error { return a.signal(pid, true) }

// Resume continues keepalived.
func (a *agent) Resume(pid int) error { return a.signal(pid, false) }

func (a *agent) signal(pid int, stop bool) error {
	return a.do(func() {
		if k := a.m.keepalived; k.pid == pid && k.stopped != stop {
			k.suspend(stop)
		}
	})
}
