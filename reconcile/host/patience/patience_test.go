package patience

import (
	"testing"
	"time"
)

// TestPatience: silence counts only while the timers of this process are on time. A stall never counts.
func TestPatience(t *testing.T) {
	const tick, stall = Tick, 250 * time.Millisecond
	for name, test := range map[string]struct {
		stalls map[int]time.Duration // delay of the tick with that number
		want   time.Duration         // until it is over
	}{
		"on time":           {nil, Hasty},
		"a little late":     {map[int]time.Duration{3: 10 * time.Millisecond, 9: lateTimer}, Hasty},
		"a stall":           {map[int]time.Duration{10: stall}, 10*tick + stall + Hasty},
		"at the very end":   {map[int]time.Duration{24: stall}, 24*tick + stall + Hasty},
		"one after another": {map[int]time.Duration{5: stall, 15: stall, 30: stall}, 30*tick + 3*stall + Hasty},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Unix(0, 0)
			now := began
			p := New(now, Hasty)
			for n := 1; ; n++ {
				if now = now.Add(tick + test.stalls[n]); p.Over(now) {
					break
				}
			}
			if took := now.Sub(began); took != test.want {
				t.Errorf("over after %v, not %v", took, test.want)
			}
		})
	}
}

// TestStalledTogether: HAProxy and this process are stalled for 250 ms again and again, and HAProxy answers some
// milliseconds after each stall. HAProxy is never hung, whenever the question is asked.
func TestStalledTogether(t *testing.T) {
	const stall, run = 250 * time.Millisecond, 60 * time.Millisecond
	stalled := func(at time.Time) (until time.Time, is bool) { // the end of the stall
		into := at.Sub(time.Unix(0, 0)) % (stall + run)
		return at.Add(stall - into), into < stall
	}
	for asked := time.Unix(0, 0); asked.Before(time.Unix(0, int64(stall+run))); asked = asked.Add(time.Millisecond) {
		answer, _ := stalled(asked)
		if _, is := stalled(asked); !is {
			answer = asked
		}
		answer = answer.Add(10 * time.Millisecond)
		if until, is := stalled(answer); is {
			answer = until.Add(10 * time.Millisecond)
		}
		p := New(asked, Hasty)
		for now := asked; now.Before(answer); {
			now = now.Add(Tick)
			if until, is := stalled(now); is {
				now = until
			}
			if p.Over(now) {
				t.Fatalf("asked %v after the beginning of a stall: it hangs, after %v", asked.Sub(time.Unix(0, 0)), now.Sub(asked))
			}
		}
	}
}
