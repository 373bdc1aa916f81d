package daemon

import (
	"context"
	"sync"
	"time"

	sdnotify "github.com/coreos/go-systemd/v22/daemon"

	"rlb.dev/rlb-agent/reconcile/plan"
)

// How long an operation may take before the daemon counts as hung. Each is many times the time on a slow machine. apt
// may take as long as it keeps printing lines.
const (
	lookBound = 2 * time.Minute
	stepBound = 5 * time.Minute
	aptBound  = 15 * time.Minute
)

// Watchdog sends pings to systemd's watchdog (sd_notify(3), WATCHDOG=1) while the loop is alive: it waits for work, or
// its work is within its bound. Without pings from a hung loop, systemd restarts the agent.
type Watchdog struct {
	notify func(string)
	period time.Duration // between two pings; 0: no watchdog

	mu    sync.Mutex
	until time.Time // the loop must make progress before this time
}

// NewWatchdog returns the watchdog that systemd set for this process; without one it does nothing.
func NewWatchdog() *Watchdog {
	limit, err := sdnotify.SdWatchdogEnabled(false)
	if err != nil {
		limit = 0
	}
	return &Watchdog{notify: notify, period: limit / 3}
}

// Progress reports that a long operation goes on: a line of apt or dpkg.
func (w *Watchdog) Progress(string) { w.within(aptBound) }

// step reports that the reconciler begins a step.
func (w *Watchdog) step(s plan.Step) {
	if s.Slow {
		w.within(aptBound)
		return
	}
	w.within(stepBound)
}

// within sets the bound for the next operation.
func (w *Watchdog) within(bound time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.until = time.Now().Add(bound)
}

func (w *Watchdog) alive() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Before(w.until)
}

func (w *Watchdog) ping() { w.notify(sdnotify.SdNotifyWatchdog) }

// due returns a channel for the next ping of a waiting loop; nil without a watchdog.
func (w *Watchdog) due() <-chan time.Time {
	if w.period == 0 {
		return nil
	}
	return time.After(w.period)
}

// during pings while work runs within its bound. While the loop waits, the loop pings itself.
func (w *Watchdog) during(work func()) {
	if w.period == 0 {
		work()
		return
	}
	ctx, done := context.WithCancel(context.Background())
	defer done()
	w.within(lookBound)
	w.ping()
	go func() {
		tick := time.NewTicker(w.period)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if w.alive() {
					w.ping()
				}
			}
		}
	}()
	work()
	w.ping()
}
