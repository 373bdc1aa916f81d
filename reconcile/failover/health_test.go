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

// backWithin is the time within which health notices that HAProxy serves again.
const backWithin = 300 * time.Millisecond

// bench is a health in a synctest bubble, with a HAProxy whose state tests set.
type bench struct {
	Host // nil: health does not call the other methods
	stage
	t         *testing.T
	health    *health
	answer    host.HAProxyState
	takes     time.Duration // how long a probe takes
	hastes    int           // number of probes in haste
	probes    int
	alone     bool
	stays     bool // no other host holds the virtual IPs
	idle      bool // the machine that answers for the virtual IPs serves nothing
	file      string
	writes    int // number of writes of the file
	published []state.GuardRecord
	broken    error // the error of each write of the file
	log       bytes.Buffer
	stop      func()
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

func (b *bench) TrackAgain(context.Context) error { return nil }

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
			b.published = append(b.published, r)
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

// serving runs a test with a health whose HAProxy serves.
func serving(t *testing.T, do func(*bench)) {
	run(t, func(b *bench) {
		b.force(true)
		b.unit("active")
		b.after(time.Second, false)
		do(b)
	})
}

// after lets time pass, and checks and returns the last verdict.
func (b *bench) after(d time.Duration, fault bool) state.GuardRecord {
	b.t.Helper()
	b.pass(d)
	if len(b.published) == 0 {
		b.t.Fatal("nothing was published")
	}
	last := b.published[len(b.published)-1]
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

// TestNotBeforeItAnswers: the fault does not end while the unit is active again but HAProxy does not answer.
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

// TestRestartedWhileAsked: the result of a probe of the former process does not count for the new process.
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

// TestNoFault: a HAProxy at its connection limit causes no fault. Neither does an unknown state, or a unit that reloads.
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
			t.Errorf("full is logged once, and its end:\n%s", text)
		}
	})
}

// TestQuiet: without changes nothing is published or logged, and HAProxy gets only two probes a second.
func TestQuiet(t *testing.T) {
	serving(t, func(b *bench) {
		published, probes := len(b.published), b.probes
		b.after(time.Hour, false)
		if len(b.published) != published || b.log.Len() > 0 {
			t.Errorf("published %+v, logged %s", b.published[published:], b.log.String())
		}
		if n := b.probes - probes; n < 7190 || n > 7200 {
			t.Errorf("%d probes in an hour", n)
		}
	})
}

// TestHolderProbesMore: on the host that holds the virtual IPs, a hung HAProxy is detected within 0.3 s.
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

// TestPunctuality: for a while after a late timer, punctual is false.
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

// TestAlone: without a peer, a HAProxy that is back within a second causes no fault.
func TestAlone(t *testing.T) {
	serving(t, func(b *bench) {
		b.alone = true
		b.unit("activating")
		b.after(900*time.Millisecond, false)
		b.unit("active")
		b.after(time.Minute, false)
		b.unit("failed")
		b.after(999*time.Millisecond, false)
		b.after(time.Millisecond, true) // a peer that comes later must find the virtual IPs free
	})
}

// TestAnyPeer: with two peers and with six, one that answers is enough for a takeover.
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

// TestFlapping: a HAProxy that dies repeatedly does not move the virtual IPs each time.
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
		b.after(2*time.Minute, false) // longer than flapMemory: the faults no longer count
		crash(b)
		b.after(0, false)
		for range 5 { // without another holder, the fault ends at once
			b.stays = false
			crash(b)
			b.after(900*time.Millisecond, true)
			b.stays = true
			b.after(backWithin, false)
			crash(b)
			b.after(0, false) // no other host holds the virtual IPs
		}
		b.stays, b.idle = false, true // a device that only answers for the virtual IPs does not count either
		crash(b)
		b.after(0, false)
	})
}

// TestLongestFault: even after many faults, a fault whose reason is gone ends longestFault after its beginning at the latest.
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

// TestStop: the fault flag is cleared if the agent ends, or if keepalived no longer tracks the file.
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
		probes, published := b.probes, len(b.published)
		b.unit("failed")
		b.after(time.Minute, false)
		if b.probes != probes || len(b.published) != published {
			t.Error("it goes on")
		}
		b.force(true)
		b.after(0, true)
	})
}

// TestOneFaultWrittenLate: a fault that could not be written for a while counts as one fault, which ends at once.
func TestOneFaultWrittenLate(t *testing.T) {
	serving(t, func(b *bench) {
		b.broken = errors.New("disk full")
		b.unit("failed")
		b.after(time.Hour, false)
		if n := len(b.health.faults); n > 1 {
			t.Errorf("%d faults are remembered", n)
		}
		b.broken = nil
		b.after(time.Second, true)
		b.unit("active")
		b.after(0, false)
	})
}

// TestTellAgain: a verdict that could not be written is written once that is possible.
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

// TestConflict: a conflict with another holder is published, and puts the host that stands down into FAULT.
func TestConflict(t *testing.T) {
	serving(t, func(b *bench) {
		b.alone = true // delays only a fault of HAProxy
		for range 3 {  // repeated conflicts do not make the fault last longer
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
		b.force(false) // keepalived does not track the file, but the conflict is published
		if last := b.after(0, false); last.Conflict != "two of us" {
			t.Errorf("%+v", last)
		}
		give(&b.stage, b.health.conflicts, conflict{})
		if last := b.after(0, false); last.Conflict != "" {
			t.Errorf("%+v", last)
		}
	})
	run(t, func(b *bench) { // while the state of HAProxy is unknown
		b.force(true)
		give(&b.stage, b.health.conflicts, conflict{text: "two of us", standDown: true})
		b.after(0, true)
	})
}

// TestTrackedFile: if another program changes or removes the tracked file, health restores the file at once.
func TestTrackedFile(t *testing.T) {
	for _, fault := range []bool{false, true} {
		serving(t, func(b *bench) {
			if fault {
				b.unit("failed")
			}
			want, published := b.file, len(b.published)
			for _, text := range []string{"1\n", "0\n", "", "7 of 9"} {
				b.file = text
				wake.Up(b.health.touched)
				if b.pass(100 * time.Millisecond); b.file != want {
					t.Errorf("%q stays, want %q", text, want)
				}
			}
			if lines := strings.Count(b.log.String(), "restored the fault flag"); lines != 3 || len(b.published) != published {
				t.Errorf("logged %d times, the status changed %d times:\n%s", lines, len(b.published)-published, b.log.String())
			}
			writes := b.writes
			wake.Up(b.health.touched) // the event of the agent's own write
			if b.pass(time.Second); b.writes != writes {
				t.Errorf("wrote %d times without need", b.writes-writes)
			}
		})
	}
}

// TestTrackedFileFoughtOver: while another program keeps changing the file, health writes the file at most 20 times a second
// and still probes HAProxy.
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

// TestTrackedFileCannotBeRepaired: a repair that failed is repeated until it succeeds.
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

// TestTrackedFileOfNobody: while keepalived does not track the file, health does not restore it.
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
