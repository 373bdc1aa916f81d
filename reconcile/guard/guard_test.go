package guard

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
)

// bench is a guard in a bubble of its own time, with a HAProxy that tests set.
type bench struct {
	t      *testing.T
	turns  sync.Mutex
	units  chan string
	on     chan bool
	rivals chan Conflict
	answer host.HAProxyState
	takes  time.Duration // of a probe
	probes int
	alone  bool
	stays  bool // the virtual IPs do not come back here
	told   []state.GuardRecord
	broken error // of Tell
	log    bytes.Buffer
	stop   func()
}

func run(t *testing.T, do func(*bench)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b := &bench{t: t, units: make(chan string), on: make(chan bool), rivals: make(chan Conflict), answer: host.HAProxyAnswers}
		g := Guard{
			Answers: func() bool {
				b.turn()
				if b.answer == host.HAProxyAnswers && b.takes == 0 {
					b.probes++
					return true
				}
				return false
			},
			Probe: func(context.Context) host.HAProxyState {
				b.turn()
				b.probes++
				answer := b.answer
				time.Sleep(b.takes)
				return answer
			},
			Alone:   func(context.Context) bool { b.turn(); return b.alone },
			Returns: func(context.Context) bool { b.turn(); return !b.stays },
			Tell: func(_ context.Context, r state.GuardRecord) error {
				b.turn()
				if b.broken == nil {
					b.told = append(b.told, r)
				}
				return b.broken
			},
			Log: slog.New(slog.NewTextHandler(&b.log, nil)),
		}
		ended := make(chan bool)
		go func() { g.Run(ctx, b.units, b.on, b.rivals); close(ended) }()
		b.stop = func() { cancel(); <-ended }
		do(b)
		b.stop()
	})
}

// serving is a guard whose HAProxy serves.
func serving(t *testing.T, do func(*bench)) {
	run(t, func(b *bench) {
		b.on <- true
		b.units <- "active"
		b.after(time.Second, false)
		do(b)
	})
}

// turn tells the race detector that the test and the guard take turns.
func (b *bench) turn() {
	b.turns.Lock()
	defer b.turns.Unlock()
}

// after lets time pass and looks at the verdict then.
func (b *bench) after(d time.Duration, fault bool) state.GuardRecord {
	b.t.Helper()
	b.turn()
	time.Sleep(d)
	synctest.Wait()
	if len(b.told) == 0 {
		b.t.Fatal("nothing was told")
	}
	last := b.told[len(b.told)-1]
	if last.Fault != fault {
		b.t.Errorf("fault is %v (%s), want %v", last.Fault, last.Reason, fault)
	}
	return last
}

func TestStopped(t *testing.T) {
	for state, reason := range map[string]string{
		"deactivating": "haproxy is being stopped", "inactive": "haproxy is stopped", "failed": "haproxy failed",
		"activating": "haproxy is being started",
	} {
		serving(t, func(b *bench) {
			b.units <- state
			if last := b.after(0, true); last.Reason != reason || last.HAProxy != host.HAProxyStopped || !last.Since.Equal(time.Now()) {
				t.Errorf("%s: %+v", state, last)
			}
			probes := b.probes
			b.after(time.Minute, true)
			if b.probes != probes {
				t.Error("what is stopped is probed")
			}
			b.units <- "active"
			b.after(0, false)
		})
	}
}

// TestNotBeforeItAnswers: that the unit is active again does not do.
func TestNotBeforeItAnswers(t *testing.T) {
	serving(t, func(b *bench) {
		b.units <- "inactive"
		b.after(0, true)
		b.answer = host.HAProxyHung
		b.units <- "active"
		if last := b.after(time.Second, true); last.HAProxy != host.HAProxyHung {
			t.Errorf("%+v", last)
		}
		b.answer = host.HAProxyAnswers
		b.after(faultPause, false)
	})
}

func TestHung(t *testing.T) {
	serving(t, func(b *bench) {
		b.answer, b.takes = host.HAProxyHung, 450*time.Millisecond
		if last := b.after(probePause+b.takes, true); !strings.Contains(last.Reason, "hangs") {
			t.Errorf("%+v", last)
		}
		b.answer, b.takes = host.HAProxyAnswers, 0
		b.after(faultPause+450*time.Millisecond, false)
	})
}

// TestRestartedWhileAsked: that the process before did not answer says nothing of the one that runs now.
func TestRestartedWhileAsked(t *testing.T) {
	serving(t, func(b *bench) {
		b.answer, b.takes = host.HAProxyHung, time.Minute
		b.after(probePause+time.Millisecond, false)
		b.units <- "deactivating"
		b.after(0, true)
		b.answer, b.takes = host.HAProxyAnswers, 0
		b.units <- "active"
		b.after(0, false)
		b.after(2*time.Minute, false)
	})
}

// TestFull: full is not hung. Where there is no socket to ask, or a reload is under way, there is no reason either.
func TestNoFault(t *testing.T) {
	serving(t, func(b *bench) {
		for _, answer := range []host.HAProxyState{host.HAProxyFull, host.HAProxyAnswers, host.HAProxyUnknown} {
			b.answer = answer
			if last := b.after(time.Second, false); last.HAProxy != answer {
				t.Errorf("%+v, want %s", last, answer)
			}
		}
		b.units <- "reloading"
		b.after(time.Second, false)
		if text := b.log.String(); strings.Count(text, "\n") != 2 || !strings.Contains(text, "maxConnections") {
			t.Errorf("full is told once, and its end:\n%s", text)
		}
	})
}

// TestQuiet: nothing is told or logged where nothing changes, and two probes a second are all.
func TestQuiet(t *testing.T) {
	serving(t, func(b *bench) {
		told, probes := len(b.told), b.probes
		b.after(time.Hour, false)
		if len(b.told) != told || b.log.Len() > 0 {
			t.Errorf("told %+v, logged %s", b.told[told:], b.log.String())
		}
		if n := b.probes - probes; n < 7190 || n > 7200 {
			t.Errorf("%d probes in an hour", n)
		}
	})
}

// TestAlone: where nobody could take over, a HAProxy that is back within a second costs no more than its restart.
func TestAlone(t *testing.T) {
	serving(t, func(b *bench) {
		b.alone = true
		b.units <- "activating"
		b.after(900*time.Millisecond, false)
		b.units <- "active"
		b.after(time.Minute, false)
		b.units <- "failed"
		b.after(999*time.Millisecond, false)
		b.after(time.Millisecond, true) // a peer that comes must find the place free
	})
}

// TestFlapping: a HAProxy that dies again and again does not move the virtual IPs each time.
func TestFlapping(t *testing.T) {
	crash := func(b *bench) {
		b.units <- "activating"
		b.after(0, true)
		b.units <- "active"
	}
	serving(t, func(b *bench) {
		crash(b)
		b.after(0, false)
		for _, held := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
			crash(b)
			b.after(held-time.Millisecond, true)
			b.after(faultPause, false)
		}
		b.after(2*flapMemory, false)
		crash(b)
		b.after(0, false)
		for range 5 { // better a HAProxy that dies often than none
			b.stays = false
			crash(b)
			b.after(900*time.Millisecond, true)
			b.stays = true
			b.after(faultPause, false)
			crash(b)
			b.after(0, false) // nothing flaps
		}
	})
}

// TestLongestFault bounds the wait.
func TestLongestFault(t *testing.T) {
	serving(t, func(b *bench) {
		for range 20 {
			b.units <- "activating"
			b.after(0, true)
			b.units <- "active"
			time.Sleep(longestFault + faultPause)
			b.after(0, false)
		}
	})
}

// TestStop: an agent that ends, or whose keepalived does not heed it any more, keeps no host out.
func TestStop(t *testing.T) {
	serving(t, func(b *bench) {
		b.units <- "inactive"
		b.after(0, true)
		b.stop()
		b.after(0, false)
	})
	serving(t, func(b *bench) {
		b.units <- "inactive"
		b.after(0, true)
		b.on <- false
		b.after(0, false)
		probes, told := b.probes, len(b.told)
		b.units <- "failed"
		b.after(time.Minute, false)
		if b.probes != probes || len(b.told) != told {
			t.Error("it goes on")
		}
		b.on <- true
		b.after(0, true)
	})
}

// TestTellAgain: what could not be told is told again until it can.
func TestTellAgain(t *testing.T) {
	serving(t, func(b *bench) {
		b.broken = errors.New("disk full")
		b.units <- "inactive"
		b.after(10*time.Second, false)
		if n := strings.Count(b.log.String(), "disk full"); n != 1 {
			t.Errorf("said %d times:\n%s", n, b.log.String())
		}
		b.broken = nil
		b.after(probePause, true)
	})
}

// TestConflict: that another host holds the virtual IPs is told, and is a fault of the one that yields.
func TestConflict(t *testing.T) {
	serving(t, func(b *bench) {
		b.alone = true // which only a HAProxy that is down waits for
		for range 3 {  // and no reason to stay out longer each time
			b.rivals <- Conflict{Text: "two of us", Yield: true}
			if last := b.after(0, true); last.Reason != "two of us" || last.Conflict != "two of us" || last.HAProxy != host.HAProxyAnswers {
				t.Errorf("%+v", last)
			}
			b.rivals <- Conflict{}
			if last := b.after(0, false); last.Reason != "" || last.Conflict != "" {
				t.Errorf("%+v", last)
			}
		}
		b.rivals <- Conflict{Text: "two of us"}
		if last := b.after(0, false); last.Reason != "" || last.Conflict != "two of us" {
			t.Errorf("%+v", last)
		}
		b.on <- false // nobody heeds it, but it is told
		if last := b.after(0, false); last.Conflict != "two of us" {
			t.Errorf("%+v", last)
		}
		b.rivals <- Conflict{}
		if last := b.after(0, false); last.Conflict != "" {
			t.Errorf("%+v", last)
		}
	})
	run(t, func(b *bench) { // before anything is known of HAProxy
		b.on <- true
		b.rivals <- Conflict{Text: "two of us", Yield: true}
		b.after(0, true)
	})
}
