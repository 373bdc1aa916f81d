package daemon

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func everything(string, time.Time) bool { return true }

// TestInboxSettles: an edit is over after a quiet time. Endless edits take effect too: changes of the host after a
// shorter time than the spec's.
func TestInboxSettles(t *testing.T) {
	for _, tt := range []struct {
		name, what  string
		puts        int
		every       time.Duration
		least, most time.Duration
	}{
		{"one edit", "spec", 1, 0, 100 * time.Millisecond, 300 * time.Millisecond},
		{"in pieces", "spec", 5, 100 * time.Millisecond, 500 * time.Millisecond, 700 * time.Millisecond},
		{"endless edits", "spec", 1000, 50 * time.Millisecond, time.Second, 6 * time.Second},
		{"endless changes of the host", "haproxy.service", 1000, 50 * time.Millisecond, 200 * time.Millisecond, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newInbox("spec")
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
			b.settle(t.Context())
			if took := time.Since(began); took < tt.least || took > tt.most {
				t.Errorf("%s: settled after %v", tt.name, took)
			}
			if seen := b.take(everything); !slices.Equal(seen, []string{tt.what}) {
				t.Errorf("%s: took %q", tt.name, seen)
			}
		})
	}
}

// TestInboxDoesNotWaitForACompleteSpec: a spec that no program has open for writing does not wait; else it waits
// only until the file is closed.
func TestInboxDoesNotWaitForACompleteSpec(t *testing.T) {
	for _, writes := range []time.Duration{0, 35 * time.Millisecond, 150 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			b := newInbox("spec")
			began := time.Now()
			b.complete = func() bool { return time.Since(began) >= writes }
			b.put("spec")
			<-b.bell
			b.settle(t.Context())
			if took := time.Since(began); took < writes || took > writes+writerPause {
				t.Errorf("written for %v: settled after %v", writes, took)
			}
		})
	}
}

// TestInboxNews: a change from before the agent's last look is not news.
func TestInboxNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newInbox("spec")
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

// TestInboxQuietPeriod: a source that changes often without causing drift wakes the agent more and more rarely;
// after drift it wakes it at once again.
func TestInboxQuietPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newInbox("spec")
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
			t.Errorf("in the first minute %d looks that find nothing", n)
		}
		b.judge([]string{"firewall"}, true)
		synctest.Wait()
		time.Sleep(10 * time.Second) // for the rings that are still due
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

// TestInboxChangeDuringALook: a change that comes during a look that finds nothing is looked at when the pause after that look
// is over. It is not left to the regular look.
func TestInboxChangeDuringALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newInbox("spec")
		for looks := range 4 {
			b.put("firewall")
			for deadline := time.After(6 * time.Second); !b.any(everything); {
				select {
				case <-b.bell:
				case <-deadline:
					t.Fatalf("after %d looks: a change is lost", looks)
				}
			}
			b.take(everything)
			time.Sleep(100 * time.Millisecond) // the look
			b.put("firewall")
			time.Sleep(100 * time.Millisecond)
			b.judge([]string{"firewall"}, false)
			for deadline := time.After(6 * time.Second); !b.any(everything); {
				select {
				case <-b.bell:
				case <-deadline:
					t.Fatalf("look %d: the change during it is lost", looks)
				}
			}
			b.take(everything)
			b.judge([]string{"firewall"}, false)
			time.Sleep(10 * time.Second)
		}
	})
}
