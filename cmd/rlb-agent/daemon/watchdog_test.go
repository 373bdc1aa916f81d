package daemon

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
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
