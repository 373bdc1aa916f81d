package main

import (
	"context"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"rlb.dev/rlb-agent/reconcile/plan"
)

// How long things may take before the daemon counts as hung. Each is many times what it takes on a slow machine; what
// apt does may take as long as it says something.
const (
	lookBound = 2 * time.Minute
	stepBound = 5 * time.Minute
	aptBound  = 15 * time.Minute
)

// pulse keeps systemd's watchdog (sd_notify(3), WATCHDOG=1) quiet as long as the loop is alive: it waits for something
// to do, or what it does is within its bound. A loop that hangs gets no more pings, and systemd restarts the agent.
type pulse struct {
	notify func(string)
	period time.Duration // between two pings; 0 where nobody watches

	mu    sync.Mutex
	until time.Time // the loop is to be heard of again before
}

func newPulse(notify func(string)) *pulse {
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		limit = 0
	}
	return &pulse{notify: notify, period: limit / 3}
}

// within says that what comes next is done after that time.
func (p *pulse) within(bound time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.until = time.Now().Add(bound)
}

// more says that what is under way makes progress.
func (p *pulse) more(string) { p.within(aptBound) }

// step says that the reconciler goes on to its next step.
func (p *pulse) step(s plan.Step) {
	if s.Slow {
		p.within(aptBound)
		return
	}
	p.within(stepBound)
}

func (p *pulse) alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Now().Before(p.until)
}

// beat pings while the work is under way and within its bound. While the loop waits it is the loop that pings.
func (p *pulse) beat(work func()) {
	if p.period == 0 {
		work()
		return
	}
	ctx, done := context.WithCancel(context.Background())
	defer done()
	p.within(lookBound)
	p.notify(daemon.SdNotifyWatchdog)
	go func() {
		tick := time.NewTicker(p.period)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if p.alive() {
					p.notify(daemon.SdNotifyWatchdog)
				}
			}
		}
	}()
	work()
	p.notify(daemon.SdNotifyWatchdog)
}
