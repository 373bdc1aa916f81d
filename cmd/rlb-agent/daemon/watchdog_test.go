package daemon

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rlb.dev/rlb-agent/reconcile/host/fake"
)

// TestWatchdog: the watchdog is pinged while the loop works within its bounds, and not while it
// hangs.
func TestWatchdog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pings atomic.Int64
		w := &Watchdog{notify: func(string) { pings.Add(1) }, period: 20 * time.Second}
		w.during(func() { time.Sleep(time.Minute) })
		if pings.Load() < 4 {
			t.Errorf("%d pings in a minute of work", pings.Load())
		}
		pings.Store(0)
		w.during(func() {
			for range 100 { // apt prints a line from time to time
				time.Sleep(10 * time.Minute)
				w.Progress("Unpacking")
			}
		})
		if pings.Load() < 95*10*60/20 {
			t.Errorf("%d pings while apt works", pings.Load())
		}
		pings.Store(0)
		w.during(func() { time.Sleep(time.Hour) })
		if pings.Load() > 10*60/20 {
			t.Errorf("%d pings of a loop that hangs", pings.Load())
		}
	})
}

// sluggish is a host on which each reload takes four minutes, and the first one fails.
type sluggish struct {
	Lockable
	reloads *int
}

func (s sluggish) ReloadUnit(ctx context.Context, name string) error {
	time.Sleep(4 * time.Minute)
	if *s.reloads++; *s.reloads == 1 {
		return errors.New("cannot reload " + name)
	}
	return s.Lockable.ReloadUnit(ctx, name)
}

// TestWatchdogDuringUndo: each step of an undo has its own bound, so that a slow undo is not killed half-way.
func TestWatchdogDuringUndo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, reloads := newKept(t, fake.New(), smallSpec), 0
		last, longest := time.Now(), time.Duration(0)
		var mutex sync.Mutex
		ping := func(string) {
			mutex.Lock()
			defer mutex.Unlock()
			longest, last = max(longest, time.Since(last)), time.Now()
		}
		k.Watchdog = &Watchdog{notify: ping, period: 20 * time.Second}
		k.host = sluggish{k.host, &reloads}
		k.spec = smallSpec + "proxy: {retries: 7}\n"
		k.Watchdog.during(func() { k.next(cause{seen: []string{specPath}}) })
		if reloads < 2 {
			t.Fatalf("%d reloads: %s", reloads, &k.log)
		}
		if longest > time.Minute {
			t.Errorf("no ping for %v", longest)
		}
	})
}

// occupied is a host whose lock another process holds for ten minutes.
type occupied struct{ Lockable }

func (o occupied) Lock(ctx context.Context, timeout time.Duration) (func(), error) {
	time.Sleep(min(timeout, 10*time.Minute))
	return o.Lockable.Lock(ctx, timeout)
}

// TestWatchdogDuringLock: a daemon that may wait long for the lock (--lock-timeout) does not count as hung meanwhile, and has
// the usual time for its look after that.
func TestWatchdogDuringLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKept(t, fake.New(), smallSpec)
		last, longest := time.Now(), time.Duration(0)
		var mutex sync.Mutex
		ping := func(string) {
			mutex.Lock()
			defer mutex.Unlock()
			longest, last = max(longest, time.Since(last)), time.Now()
		}
		k.Watchdog, k.LockTimeout = &Watchdog{notify: ping, period: 20 * time.Second}, time.Hour
		k.host = occupied{k.host}
		k.Watchdog.during(func() { k.next(cause{}) })
		if longest > time.Minute {
			t.Errorf("no ping for %v", longest)
		}
		if left := time.Until(k.Watchdog.until); left < lookBound-time.Minute || left > lookBound {
			t.Errorf("the look has %v", left)
		}
	})
}
