package debian

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
)

// TestPatience: silence counts while the timers of this process are on time. A stall never is a part of it.
func TestPatience(t *testing.T) {
	const tick, stall = patienceTick, 250 * time.Millisecond
	for name, test := range map[string]struct {
		stalls map[int]time.Duration // how late the tick of that number is
		want   time.Duration         // until it is over
		late   bool
	}{
		"on time":           {nil, hastyPatience, false},
		"a little late":     {map[int]time.Duration{3: 10 * time.Millisecond, 9: lateTimer}, hastyPatience, false},
		"a stall":           {map[int]time.Duration{10: stall}, 10*tick + stall + hastyPatience, true},
		"at the very end":   {map[int]time.Duration{24: stall}, 24*tick + stall + hastyPatience, true},
		"one after another": {map[int]time.Duration{5: stall, 15: stall, 30: stall}, 30*tick + 3*stall + hastyPatience, true},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Unix(0, 0)
			now := began
			p := newPatience(now, hastyPatience)
			for n := 1; ; n++ {
				if now = now.Add(tick + test.stalls[n]); p.over(now) {
					break
				}
			}
			if took := now.Sub(began); took != test.want || p.late != test.late {
				t.Errorf("over after %v, late %t", took, p.late)
			}
		})
	}
}

// TestStalledTogether: HAProxy and this process are stalled for 250 ms again and again, and HAProxy answers some
// milliseconds after each: no silence of it lasts long enough, whenever the question comes.
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
		p := newPatience(asked, hastyPatience)
		for now := asked; now.Before(answer); {
			now = now.Add(patienceTick)
			if until, is := stalled(now); is {
				now = until
			}
			if p.over(now) {
				t.Fatalf("asked %v after the beginning of a stall: it hangs, after %v", asked.Sub(time.Unix(0, 0)), now.Sub(asked))
			}
		}
	}
}

// TestProbeHastily: only what is silent altogether hangs. What is busy, or answers on one socket, gets the usual patience.
func TestProbeHastily(t *testing.T) {
	answered, silence := func(err error) []error { return []error{err} }, []error(nil)
	said := func(answers []error) <-chan error { // it belongs to the bubble that makes it
		c := make(chan error, 1)
		for _, err := range answers {
			c <- err
		}
		return c
	}
	for name, test := range map[string]struct {
		health, stats []error
		idle          bool
		want          host.HAProxyState
		took          time.Duration
	}{
		"serves":           {answered(nil), silence, false, host.HAProxyAnswers, 0},
		"hangs":            {silence, silence, true, host.HAProxyHung, hastyPatience},
		"busy":             {silence, silence, false, "", hastyPatience},
		"full":             {silence, answered(nil), true, "", hastyPatience},
		"cuts connections": {answered(context.Canceled), silence, true, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				got := judgeHastily(t.Context(), said(test.health), said(test.stats), func() bool { return test.idle })
				if took := time.Since(began); got != test.want || took != test.took {
					t.Errorf("%q after %v", got, took)
				}
			})
		})
	}
}

// TestIdleThreads: a process that runs, waits for a core, or waits for a disk, is not idle.
func TestIdleThreads(t *testing.T) {
	h := &Host{proc: t.TempDir()}
	for pid, state := range map[string]string{"10": "S", "11": "T", "12": "R", "13": "D"} {
		dir := filepath.Join(h.proc, pid, "task", pid)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "stat"), []byte(pid+" (haproxy) "+state+" 1\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for pid, busy := range map[int]bool{10: false, 11: false, 12: true, 13: true, 99: false} {
		if h.anyIn("RD", pid) != busy {
			t.Errorf("%d: busy %t", pid, !busy)
		}
	}
}
