package failover

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/wake"
	"rlb.dev/rlb-agent/render"
)

// backWithin is how soon a HAProxy that serves again is seen to.
const backWithin = 300 * time.Millisecond

// bench is a health in a bubble of its own time, with a HAProxy that tests set.
type bench struct {
	Host // what is not asked for
	stage
	t      *testing.T
	health *health
	answer host.HAProxyState
	takes  time.Duration // of a probe
	hastes int           // probes in haste
	probes int
	alone  bool
	stays  bool // the virtual IPs do not come back here
	idle   bool // who answers for them serves nothing
	file   string
	writes int // of the file
	told   []state.GuardRecord
	broken error // of the file
	log    bytes.Buffer
	stop   func()
}

func (b *bench) HAProxyAnswers() bool {
	b.Lock()
	defer b.Unlock()
	if b.answer == host.HAProxyAnswers && b.takes == 0 {
		b.probes++
		return true
	}
	return false
}

func (b *bench) ProbeHAProxy(_ context.Context, haste bool) host.HAProxyState {
	var answer host.HAProxyState
	var takes time.Duration
	b.do(func() {
		b.probes++
		if answer, takes = b.answer, b.takes; haste {
			b.hastes++
		}
	})
	time.Sleep(takes)
	return answer
}

func (b *bench) AnyAnswers(_ context.Context, _ string, addrs []netip.Addr, _ time.Duration) (bool, error) {
	b.Lock()
	defer b.Unlock()
	if slices.Equal(addrs, []netip.Addr{vip.Addr()}) {
		return !b.stays, nil
	}
	return slices.Contains(addrs, peer) && !b.alone, nil
}

func (b *bench) Neighbours(context.Context, string, []netip.Addr) (map[netip.Addr]string, error) {
	b.Lock()
	defer b.Unlock()
	if b.stays {
		return nil, nil
	}
	return map[netip.Addr]string{vip.Addr(): highMAC}, nil
}

func (b *bench) OtherNeighbours(context.Context, string, []netip.Addr, []string) (map[netip.Addr]string, error) {
	return nil, nil
}

func (b *bench) ProbeServices(_ context.Context, _ string, at []host.Endpoint) ([]host.Reply, error) {
	b.Lock()
	defer b.Unlock()
	return slices.Repeat([]host.Reply{map[bool]host.Reply{false: host.Accepted}[b.idle]}, len(at)), nil
}

func (b *bench) Interfaces(context.Context) ([]host.Interface, error) { return nil, nil }

func (b *bench) TellKeepalived(fault bool) error {
	b.Lock()
	defer b.Unlock()
	if b.broken == nil {
		b.file = render.TrackedText(fault)
		b.writes++
	}
	return b.broken
}

func (b *bench) File(_ context.Context, path string) (host.File, error) {
	b.Lock()
	defer b.Unlock()
	if path != render.FaultFile {
		b.t.Errorf("reads %s", path)
	}
	return host.File{Path: path, Exists: b.file != "", Data: []byte(b.file)}, nil
}

func run(t *testing.T, do func(*bench)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b := &bench{t: t, answer: host.HAProxyAnswers}
		publish := func(_ context.Context, r state.GuardRecord) error {
			b.Lock()
			defer b.Unlock()
			if want := render.TrackedText(r.Fault); b.broken == nil && b.file != want {
				t.Errorf("the status has %+v, and keepalived still has %q", r, b.file)
			}
			b.told = append(b.told, r)
			return nil
		}
		b.health = newHealth(b, publish, slog.New(slog.NewTextHandler(locked{&b.stage, &b.log}, nil)))
		ended := make(chan bool)
		go func() { b.health.run(ctx); close(ended) }()
		b.stop = func() { b.Unlock(); defer b.Lock(); cancel(); <-ended }
		b.Lock()
		do(b)
		b.stop()
	})
}

func (b *bench) force(tracks bool, others ...netip.Addr) {
	give(&b.stage, b.health.force, state.InForce{
		Interface: "eth0", VirtualIPs: []netip.Addr{vip.Addr()}, Peers: append(others, peer), Tracks: tracks, Preempt: true,
	})
}

func (b *bench) unit(state string) { give(&b.stage, b.health.units, state) }

// serving is a health whose HAProxy serves.
func serving(t *testing.T, do func(*bench)) {
	run(t, func(b *bench) {
		b.force(true)
		b.unit("active")
		b.after(time.Second, false)
		do(b)
	})
}

// after lets time pass and looks at the verdict then.
func (b *bench) after(d time.Duration, fault bool) state.GuardRecord {
	b.t.Helper()
	b.pass(d)
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
		"deactivating": "haproxy.service is stopping", "inactive": "haproxy.service is stopped", "failed": "haproxy.service failed",
		"activating": "haproxy.service is starting",
	} {
		serving(t, func(b *bench) {
			b.unit(state)
			if last := b.after(0, true); last.Reason != reason || last.HAProxy != host.HAProxyStopped || !last.Since.Equal(time.Now()) {
				t.Errorf("%s: %+v", state, last)
			}
			probes := b.probes
			b.after(time.Minute, true)
			if b.probes != probes {
				t.Error("what is stopped is probed")
			}
			b.unit("active")
			b.after(0, false)
		})
	}
}

// TestNotBeforeItAnswers: that the unit is active again does not do.
func TestNotBeforeItAnswers(t *testing.T) {
	serving(t, func(b *bench) {
		b.unit("inactive")
		b.after(0, true)
		b.answer = host.HAProxyHung
		b.unit("active")
		if last := b.after(time.Second, true); last.HAProxy != host.HAProxyHung {
			t.Errorf("%+v", last)
		}
		b.answer = host.HAProxyAnswers
		b.after(backWithin, false)
	})
}

func TestHung(t *testing.T) {
	serving(t, func(b *bench) {
		b.answer, b.takes = host.HAProxyHung, 450*time.Millisecond
		if last := b.after(time.Second, true); !strings.Contains(last.Reason, "hangs") {
			t.Errorf("%+v", last)
		}
		b.answer, b.takes = host.HAProxyAnswers, 0
		b.after(time.Second, false)
	})
}

// TestRestartedWhileAsked: that the process before did not answer says nothing of the one that runs now.
func TestRestartedWhileAsked(t *testing.T) {
	serving(t, func(b *bench) {
		b.answer, b.takes = host.HAProxyHung, time.Minute
		b.after(time.Second, false)
		b.unit("deactivating")
		b.after(0, true)
		b.answer, b.takes = host.HAProxyAnswers, 0
		b.unit("active")
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
		b.unit("reloading")
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

// TestHolderProbesMore: on the host that holds the virtual IPs a HAProxy that hangs is found within 0.3 s.
func TestHolderProbesMore(t *testing.T) {
	for pause := range time.Duration(15) {
		serving(t, func(b *bench) {
			b.health.holds.Store(true)
			b.after(time.Second+pause*10*time.Millisecond, false)
			b.answer, b.takes = host.HAProxyHung, 120*time.Millisecond
			if b.after(280*time.Millisecond, true); b.hastes == 0 {
				t.Error("it was not probed in haste")
			}
		})
	}
}

// TestPunctuality: for a while after a timer that came late nobody is judged in haste.
func TestPunctuality(t *testing.T) {
	var p punctuality
	now := time.Unix(1000, 0)
	p.note(time.Time{}, now)
	if p.note(now.Add(-mostLate), now); !p.punctual(now) {
		t.Error("late without a late timer")
	}
	if p.note(now.Add(-250*time.Millisecond), now); p.punctual(now) || p.punctual(now.Add(lateMemory)) || !p.punctual(now.Add(lateMemory+1)) {
		t.Error("a timer that was late by 250 ms is not remembered, or for ever")
	}
}

// TestAlone: where nobody could take over, a HAProxy that is back within a second costs no more than its restart.
func TestAlone(t *testing.T) {
	serving(t, func(b *bench) {
		b.alone = true
		b.unit("activating")
		b.after(900*time.Millisecond, false)
		b.unit("active")
		b.after(time.Minute, false)
		b.unit("failed")
		b.after(999*time.Millisecond, false)
		b.after(time.Millisecond, true) // a peer that comes must find the place free
	})
}

// TestAnyPeer: of two peers, and of six, any one that is there can take over.
func TestAnyPeer(t *testing.T) {
	for _, others := range []int{1, 5} {
		serving(t, func(b *bench) {
			var more []netip.Addr
			for i := range others {
				more = append(more, netip.AddrFrom4([4]byte{198, 51, 100, byte(20 + i)}))
			}
			b.force(true, more...)
			b.unit("failed")
			b.after(100*time.Millisecond, true)
		})
	}
}

// TestFlapping: a HAProxy that dies again and again does not move the virtual IPs each time.
func TestFlapping(t *testing.T) {
	crash := func(b *bench) {
		b.unit("activating")
		b.after(0, true)
		b.unit("active")
	}
	serving(t, func(b *bench) {
		crash(b)
		b.after(0, false)
		for _, held := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
			crash(b)
			b.after(held-time.Millisecond, true)
			b.after(backWithin, false)
		}
		b.after(2*time.Minute, false) // it is forgotten
		crash(b)
		b.after(0, false)
		for range 5 { // better a HAProxy that dies often than none
			b.stays = false
			crash(b)
			b.after(900*time.Millisecond, true)
			b.stays = true
			b.after(backWithin, false)
			crash(b)
			b.after(0, false) // nothing flaps
		}
		b.stays, b.idle = false, true // nor for a device that only answers for them
		crash(b)
		b.after(0, false)
	})
}

// TestLongestFault bounds the wait.
func TestLongestFault(t *testing.T) {
	serving(t, func(b *bench) {
		for range 20 {
			b.unit("activating")
			b.after(0, true)
			b.unit("active")
			b.pass(30*time.Second + backWithin)
			b.after(0, false)
		}
	})
}

// TestStop: an agent that ends, or whose keepalived does not track its file any more, keeps no host out.
func TestStop(t *testing.T) {
	serving(t, func(b *bench) {
		b.unit("inactive")
		b.after(0, true)
		b.stop()
		b.after(0, false)
	})
	serving(t, func(b *bench) {
		b.unit("inactive")
		b.after(0, true)
		b.force(false)
		b.after(0, false)
		probes, told := b.probes, len(b.told)
		b.unit("failed")
		b.after(time.Minute, false)
		if b.probes != probes || len(b.told) != told {
			t.Error("it goes on")
		}
		b.force(true)
		b.after(0, true)
	})
}

// TestTellAgain: what could not be told is told again until it can.
func TestTellAgain(t *testing.T) {
	serving(t, func(b *bench) {
		b.broken = errors.New("disk full")
		b.unit("inactive")
		b.after(10*time.Second, false)
		if n := strings.Count(b.log.String(), "disk full"); n != 1 {
			t.Errorf("said %d times:\n%s", n, b.log.String())
		}
		b.broken = nil
		b.after(time.Second, true)
	})
}

// TestConflict: that another host holds the virtual IPs is told, and is a fault of the one that yields.
func TestConflict(t *testing.T) {
	serving(t, func(b *bench) {
		b.alone = true // which only a HAProxy that is down waits for
		for range 3 {  // and no reason to stay out longer each time
			give(&b.stage, b.health.conflicts, conflict{text: "two of us", standDown: true})
			if last := b.after(0, true); last.Reason != "two of us" || last.Conflict != "two of us" || last.HAProxy != host.HAProxyAnswers {
				t.Errorf("%+v", last)
			}
			give(&b.stage, b.health.conflicts, conflict{})
			if last := b.after(0, false); last.Reason != "" || last.Conflict != "" {
				t.Errorf("%+v", last)
			}
		}
		give(&b.stage, b.health.conflicts, conflict{text: "two of us"})
		if last := b.after(0, false); last.Reason != "" || last.Conflict != "two of us" {
			t.Errorf("%+v", last)
		}
		b.force(false) // nobody tracks it, but it is written
		if last := b.after(0, false); last.Conflict != "two of us" {
			t.Errorf("%+v", last)
		}
		give(&b.stage, b.health.conflicts, conflict{})
		if last := b.after(0, false); last.Conflict != "" {
			t.Errorf("%+v", last)
		}
	})
	run(t, func(b *bench) { // before anything is known of HAProxy
		b.force(true)
		give(&b.stage, b.health.conflicts, conflict{text: "two of us", standDown: true})
		b.after(0, true)
	})
}

// TestTrackedFile: who changes or removes the file that keepalived tracks finds it restored at once.
func TestTrackedFile(t *testing.T) {
	for _, fault := range []bool{false, true} {
		serving(t, func(b *bench) {
			if fault {
				b.unit("failed")
			}
			want, told := b.file, len(b.told)
			for _, text := range []string{"1\n", "0\n", "", "7 of 9"} {
				b.file = text
				wake.Up(b.health.touched)
				if b.pass(100 * time.Millisecond); b.file != want {
					t.Errorf("%q stays, want %q", text, want)
				}
			}
			if lines := strings.Count(b.log.String(), "restored the fault flag"); lines != 3 || len(b.told) != told {
				t.Errorf("logged %d times, the status was told %d times:\n%s", lines, len(b.told)-told, b.log.String())
			}
			writes := b.writes
			wake.Up(b.health.touched) // by the agent itself
			if b.pass(time.Second); b.writes != writes {
				t.Errorf("wrote %d times without need", b.writes-writes)
			}
		})
	}
}

// TestTrackedFileFoughtOver: the file is written 20 times a second at most, and HAProxy is still probed.
func TestTrackedFileFoughtOver(t *testing.T) {
	serving(t, func(b *bench) {
		writes := b.writes
		for began := time.Now(); time.Since(began) < time.Minute; b.pass(time.Millisecond) {
			if b.file != "1\n" {
				b.file = "1\n"
				wake.Up(b.health.touched)
			}
		}
		if n := b.writes - writes; n < 600 || n > 1201 {
			t.Errorf("wrote %d times in a minute", n)
		}
		b.answer, b.takes = host.HAProxyHung, 450*time.Millisecond
		for began := time.Now(); time.Since(began) < time.Second; b.pass(10 * time.Millisecond) {
			b.file = ""
			wake.Up(b.health.touched)
		}
		b.after(0, true)
	})
}

// TestTrackedFileCannotBeRepaired: what cannot be written is written once it can.
func TestTrackedFileCannotBeRepaired(t *testing.T) {
	serving(t, func(b *bench) {
		b.unit("failed")
		b.broken, b.file = errors.New("disk full"), ""
		wake.Up(b.health.touched)
		b.pass(10 * time.Second)
		if n := strings.Count(b.log.String(), "disk full"); n != 1 || b.file != "" {
			t.Errorf("logged %d times, the file is %q", n, b.file)
		}
		b.broken = nil
		if b.pass(time.Second); b.file != "1\n" {
			t.Errorf("the file is %q", b.file)
		}
	})
}

// TestTrackedFileOfNobody: while keepalived does not track the file, whoever changes it may.
func TestTrackedFileOfNobody(t *testing.T) {
	serving(t, func(b *bench) {
		b.force(false)
		b.file = "1\n"
		wake.Up(b.health.touched)
		if b.pass(time.Second); b.file != "1\n" {
			t.Errorf("the file is %q", b.file)
		}
	})
}
