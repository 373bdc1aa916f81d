package model

import (
	"context"
	"errors"
	"time"

	"rlb.dev/rlb-agent/reconcile/failover"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
)

// agent is one process of the agent on a host: a real failover.Failover, and the failover.Host that it uses. Observer is nil,
// so that a call of a method that is not simulated panics.
type agent struct {
	host.Observer
	m      *machine
	cancel context.CancelFunc
	dead   bool          // the process has ended, and its calls have no effect any more
	cont   chan struct{} // closed at SIGCONT; nil if the process is not stopped
	record state.GuardRecord
	bell   chan struct{} // the spec or a watched unit may have changed
}

var _ failover.Host = (*agent)(nil)

// agentRest is the time until systemd restarts the agent (hack/systemd/rlb-agent.service, RestartSec). agentClear is the
// longest time until ExecStopPost has cleared the fault flag.
const (
	agentRest  = time.Second
	agentClear = 50 * time.Millisecond
)

// errEnded is the error of each call of a dead agent.
var errEnded = errors.New("cannot do anything: the agent has ended")

// startAgent starts the agent as cmd/rlb-agent/daemon does: failover starts first and receives the spec in force after that.
func (m *machine) startAgent() {
	if m.agent != nil || !m.up {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	a := &agent{m: m, cancel: cancel, bell: make(chan struct{}, 1)}
	m.agent = a
	over := failover.New(failover.Config{Host: a, Publish: a.publish, TookOver: func() {}, Log: teller{m.world, m.name}.logger()})
	m.processes.Go(func() {
		told := make(chan struct{})
		go func() {
			defer close(told)
			a.spend(ctx, 5*time.Millisecond, 60*time.Millisecond)
			over.ApplyRuntimeState(ctx, a.inForce(ctx))
			a.keep(ctx, over)
		}()
		over.Run(ctx)
		<-told
	})
}

// inForce reads the spec in force from the files.
func (a *agent) inForce(ctx context.Context) (force state.InForce) {
	var c *command
	if a.do(func() { force, c = a.m.force, commandOf(a) }) != nil || !a.differs() {
		return force
	}
	if now, err := state.ReadInForce(ctx, c); err == nil {
		force = *now
		force.Spec = nil
	}
	return force
}

// killAgent kills the agent (SIGKILL). systemd then clears the fault flag and restarts the agent.
func (m *machine) killAgent() {
	a := m.agent
	if a == nil {
		return
	}
	m.agent, a.dead = nil, true
	m.release(a)
	a.cancel()
	a.stop(false)
	m.soon(5*time.Millisecond, agentClear, func() {
		if m.agent == nil {
			m.setFault(false)
		}
	})
	m.after(agentRest, m.startAgent)
}

// stop stops the agent (SIGSTOP), or continues it (SIGCONT).
func (a *agent) stop(on bool) {
	switch {
	case on && a.cont == nil && !a.dead:
		a.cont = make(chan struct{})
	case !on && a.cont != nil:
		close(a.cont)
		a.cont = nil
	}
}

// gate waits while the agent is stopped or its host stalls.
func (a *agent) gate(ctx context.Context) {
	for {
		a.m.Lock()
		wait := a.cont
		if wait == nil && a.m.stalled {
			wait = a.m.thawed
		}
		if a.dead {
			wait = nil
		}
		a.m.Unlock()
		if wait == nil {
			return
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return
		}
	}
}

// spend waits for the time that a call takes.
func (a *agent) spend(ctx context.Context, least, most time.Duration) {
	a.gate(ctx)
	a.m.Lock()
	d := a.m.within("agent "+a.m.name, least, most)
	a.m.Unlock()
	pause(ctx, d)
	a.gate(ctx)
}

// do runs a part of a call that reads or changes the host. It returns errEnded if the agent is dead.
func (a *agent) do(what func()) error {
	a.m.Lock()
	defer a.m.Unlock()
	if a.dead {
		return errEnded
	}
	what()
	return nil
}

// call spends some time and then runs what.
func (a *agent) call(ctx context.Context, least, most time.Duration, what func()) error {
	a.spend(ctx, least, most)
	return a.do(what)
}

func (a *agent) publish(ctx context.Context, r state.GuardRecord) error {
	return a.call(ctx, 100*time.Microsecond, 2*time.Millisecond, func() { a.record = r })
}

// setFault changes the tracked file. keepalived notices the change by inotify.
func (m *machine) setFault(out bool) {
	m.fault = out
	m.soon(100*time.Microsecond, time.Millisecond, m.keepalived.wake)
}
