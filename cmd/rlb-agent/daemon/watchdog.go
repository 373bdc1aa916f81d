package daemon

import (
	"context"
	"sync"
	"time"

	sdnotify "github.com/coreos/go-systemd/v22/daemon"

	"rlb.dev/rlb-agent/reconcile/plan"
)

// How long things may take before the daemon counts as hung. Each is many times what it takes on a slow machine; what
// apt does may take as long as it says something.
const (
	lookBound = 2 * time.Minute
	stepBound = 5 * time.Minute
	aptBound  = 15 * time.Minute
)

// Watchdog keeps systemd's watchdog (sd_notify(3), WATCHDOG=1) quiet as long as the loop is alive: it waits for something
// to do, or what it does is within its bound. A loop that hangs gets no more pings, and systemd restarts the agent.
type Watchdog struct {
	notify func(string)
	period time.Duration // between two pings; 0 where nobody watches

	mu    sync.Mutex
	until time.Time // the loop must make progress before
}

// NewWatchdog is the watchdog that systemd set for this process, if any.
func NewWatchdog() *Watchdog {
	limit, err := sdnotify.SdWatchdogEnabled(false)
	if err != nil {
		limit = 0
	}
	return &Watchdog{notify: notify, period: limit / 3}
}

// Progress says that what takes long goes on: a line of apt or dpkg.
func (w *Watchdog) Progress(string) { w.within(aptBound) }

// step says that the reconciler goes on to its next step.
func (w *Watchdog) step(s plan.Step) {
	if s.Slow {
		w.within(aptBound)
		return
	}
	w.within(stepBound)
}

// within says that what comes next is done after that time.
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

// due brings the time for the next ping of a loop that waits; nil where nobody watches.
func (w *Watchdog) due() <-chan time.Time {
	if w.period == 0 {
		return nil
	}
	return time.After(w.period)
}

// during pings while the work is under way and within its bound. While the loop waits it is the loop that pings.
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
