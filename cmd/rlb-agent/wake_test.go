package main

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func everything(string, time.Time) bool { return true }

// An edit is over after a quiet time; endless ones go live all the same, changes of the host sooner than the spec's.
func TestInboxSettles(t *testing.T) {
	for _, tt := range []struct {
		name, what  string
		puts        int
		every       time.Duration
		least, most time.Duration
	}{
		{"one edit", "spec", 1, 0, quietTime, quietTime},
		{"in pieces", "spec", 5, 100 * time.Millisecond, 400*time.Millisecond + quietTime, 400*time.Millisecond + quietTime},
		{"endless edits", "spec", 1000, 50 * time.Millisecond, longestEdit, longestEdit + 50*time.Millisecond},
		{"endless changes of the host", "haproxy.service", 1000, 50 * time.Millisecond, longestWait, longestWait + 50*time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newInbox()
			b.put(tt.what)
			<-b.bell
			began := time.Now()
			var all sync.WaitGroup
			all.Go(func() {
				for range tt.puts - 1 {
					time.Sleep(tt.every)
					b.put(tt.what)
				}
			})
			defer all.Wait()
			b.settle(t.Context(), "spec")
			if took := time.Since(began); took < tt.least || took > tt.most {
				t.Errorf("%s: settled after %v", tt.name, took)
			}
			if seen := b.take(everything); !slices.Equal(seen, []string{tt.what}) {
				t.Errorf("%s: took %q", tt.name, seen)
			}
		})
	}
}

// What came before the agent's own last look is no news.
func TestInboxNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newInbox()
		b.put("old")
		time.Sleep(time.Second)
		looked := time.Now()
		time.Sleep(time.Second)
		b.put("new")
		news := func(_ string, at time.Time) bool { return at.After(looked) }
		if !b.any(news) {
			t.Error("no news")
		}
		if seen := b.take(news); !slices.Equal(seen, []string{"new"}) || b.any(everything) {
			t.Errorf("took %q", seen)
		}
	})
}

// What changes all the time and is never wrong wakes the agent less and less, and at once again when it was wrong.
func TestInboxCalm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newInbox()
		rings := func(during time.Duration) (n int) {
			for end := time.Now().Add(during); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
				b.put("firewall")
				select {
				case <-b.bell:
					if !b.any(everything) {
						continue
					}
					n++
					b.take(everything)
					b.judge([]string{"firewall"}, false)
				default:
				}
			}
			return n
		}
		if n := rings(time.Minute); n < 10 || n > 20 {
			t.Errorf("in the first minute %d looks in vain", n)
		}
		b.judge([]string{"firewall"}, true)
		synctest.Wait()
		time.Sleep(lastCalm) // what was still to ring
		b.take(everything)
		select {
		case <-b.bell:
		default:
		}
		b.put("firewall")
		select {
		case <-b.bell:
		default:
			t.Error("after it was right it waits")
		}
	})
}

// The watchdog hears of a loop that works within its bounds, and not of one that hangs.
func TestPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pings atomic.Int64
		p := &pulse{notify: func(string) { pings.Add(1) }, period: 20 * time.Second}
		p.beat(func() { time.Sleep(time.Minute) })
		if pings.Load() < 4 {
			t.Errorf("%d pings in a minute of work", pings.Load())
		}
		pings.Store(0)
		p.beat(func() {
			for range 100 { // apt says something now and then
				time.Sleep(10 * time.Minute)
				p.more("Unpacking")
			}
		})
		if pings.Load() < 95*10*60/20 {
			t.Errorf("%d pings while apt works", pings.Load())
		}
		pings.Store(0)
		p.beat(func() { time.Sleep(time.Hour) })
		if pings.Load() > int64(lookBound/p.period)+3 {
			t.Errorf("%d pings of a loop that hangs", pings.Load())
		}
	})
}
