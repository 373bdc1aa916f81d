package serveon

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render"
)

const spec = `apiVersion: rlb.dev/v1
kind: LoadBalancerSpec
virtualIPs: [198.51.100.10, "2001:db8::10"]
services:
- {name: web, port: 9000, servers: [{address: 198.51.100.21}]}
`

var vip = netip.MustParsePrefix("198.51.100.10/32")

// site is a host with connections, on a link with another host.
type site struct {
	*fake.Host
	t     *testing.T
	mutex sync.Mutex // fake.Host does not allow concurrent use

	serves    bool
	sessions  int
	slow      time.Duration // of a count
	looks     int           // calls of Interfaces
	elsewhere bool          // another host answers for the virtual IPs
	ended     int
	sent      map[uint64]int
	from      map[netip.Addr][]netip.Addr // destinations of the heartbeats by source
	log       bytes.Buffer
	keeper    *Keeper
	reported  state.Waiting
}

func (s *site) do(what func()) { s.mutex.Lock(); defer s.mutex.Unlock(); what() }

func (s *site) File(ctx context.Context, path string) (f host.File, err error) {
	s.do(func() { f, err = s.Host.File(ctx, path) })
	return f, err
}

func (s *site) WriteFile(ctx context.Context, path string, data []byte, mode fs.FileMode, uid, gid int) (err error) {
	s.do(func() { err = s.Host.WriteFile(ctx, path, data, mode, uid, gid) })
	return err
}

func (s *site) RemoveFile(ctx context.Context, path string) (err error) {
	s.do(func() { err = s.Host.RemoveFile(ctx, path) })
	return err
}

func (s *site) Interfaces(ctx context.Context) (all []host.Interface, err error) {
	s.do(func() { s.looks++; all, err = s.Host.Interfaces(ctx) })
	return all, err
}

func (s *site) HAProxyServes(context.Context) (serves bool) {
	s.do(func() { serves = s.serves })
	return serves
}

func (s *site) SendHeartbeat(iface string, from netip.Addr, to []netip.Addr, heartbeat uint64) error {
	s.do(func() { s.sent[heartbeat]++; s.from[from] = to })
	return nil
}

func (s *site) CountSessions(_ context.Context, addrs []netip.Addr, ports []uint16) (n int, err error) {
	time.Sleep(s.slow)
	s.do(func() { n = s.sessions })
	return n, nil
}

func (s *site) SweepSessions(context.Context, []netip.Addr, []uint16) error { return nil }

func (s *site) EndSessions(context.Context, []netip.Addr, []uint16) (n int, err error) {
	s.do(func() { n, s.sessions, s.ended = s.sessions, 0, s.ended+1 })
	return n, nil
}

func (s *site) AnyAnswers(context.Context, string, []netip.Addr, time.Duration) (is bool, err error) {
	s.do(func() { is = s.elsewhere })
	return is, nil
}

// hold adds the IPv4 virtual IP to this host, or removes it.
func (s *site) hold(holds bool) {
	s.do(func() {
		i := &s.Net[1]
		if i.Prefixes = i.Prefixes[:3]; holds {
			i.Prefixes = append(i.Prefixes, vip)
		}
	})
}

// wait begins a wait, as drain --wait does.
func (s *site) wait(d time.Duration) {
	s.t.Helper()
	now := time.Now()
	if err := (&state.Wait{Began: now, Until: now.Add(d)}).Write(s.t.Context(), s); err != nil {
		s.t.Fatal(err)
	}
	s.keeper.RecordChanged()
}

// seen returns the argument of the last report and the number of EndSessions calls.
func (s *site) seen() (reported state.Waiting, ended int) {
	s.do(func() { reported, ended = s.reported, s.ended })
	return reported, ended
}

// ends checks that the wait has ended with this text, after so many EndSessions calls.
func (s *site) ends(text string, ended int) {
	s.t.Helper()
	now, err := state.ReadWaiting(s.t.Context(), s)
	wait, waitErr := state.ReadWait(s.t.Context(), s)
	reported, times := s.seen()
	if err != nil || waitErr != nil || wait != nil || !strings.Contains(now.Text, text) || text == "" || times != ended || reported.On() {
		s.t.Errorf("got %v, %+v, ended %d times, %v %v, want %q", wait, now, times, err, waitErr, text)
	}
}

// goesOn checks that the wait is active with so many connections left.
func (s *site) goesOn(left int) {
	s.t.Helper()
	reported, ended := s.seen()
	if now, err := state.ReadWaiting(s.t.Context(), s); err != nil || !now.On() || now.Left != left || ended > 0 || reported.Left != left {
		s.t.Errorf("%+v, ended %d times, %v", now, ended, err)
	}
}

// keeping runs a test on a host that holds the virtual IPs and has five connections.
func keeping(t *testing.T, more string, test func(s *site)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		doc := parsed(t, spec+more)
		s := &site{Host: fake.New(), t: t, serves: true, sessions: 5, elsewhere: true, sent: map[uint64]int{}, from: map[netip.Addr][]netip.Addr{}}
		s.hold(true)
		if _, err := (&reconcile.Reconciler{Host: s.Host, Log: slog.New(slog.DiscardHandler)}).Once(t.Context(), doc); err != nil {
			t.Fatal(err)
		}
		s.keeper = New(s, slog.New(slog.NewTextHandler(&s.log, nil)), func(w state.Waiting) { s.do(func() { s.reported = w }) })
		end := s.run()
		test(s)
		end()
		if t.Failed() {
			t.Log(s.log.String())
		}
	})
}

// run runs the keeper until end is called.
func (s *site) run() (end func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.keeper.Run(ctx) }()
	return func() { cancel(); <-done }
}

func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestEnds(t *testing.T) {
	for name, c := range map[string]struct {
		then  func(s *site) // after 3 s
		in    time.Duration
		text  string
		ended int
	}{
		"none is left":                    {func(s *site) { s.do(func() { s.sessions = 0 }) }, time.Second, "all 5 connections have ended", 1},
		"the deadline":                    {func(s *site) { s.do(func() { s.sessions = 2 }); after(6 * time.Second) }, 2 * time.Second, "the deadline has passed: 3 of 5 connections ended by themselves, 2 closed", 1},
		"the deadline, nobody holds them": {func(s *site) { s.do(func() { s.elsewhere = false }); after(6 * time.Second) }, 2 * time.Second, "no other host holds the virtual IPs, so that 5 stay", 0},
		"HAProxy hangs":                   {func(s *site) { s.do(func() { s.serves = false }) }, 700 * time.Millisecond, "HAProxy did not answer: 0 of 5 connections ended by themselves, 5 closed", 1},
		"HAProxy hangs for a moment": {func(s *site) { // the new holder has stopped forwarding: later heartbeats have no effect
			s.do(func() { s.serves = false })
			after(500 * time.Millisecond)
			s.do(func() { s.serves = true })
		}, 300 * time.Millisecond, "HAProxy did not answer", 1},
		"they come back":   {func(s *site) { s.hold(true) }, 300 * time.Millisecond, "this host holds the virtual IPs again: its 5 connections go on", 0},
		"it is taken back": {func(s *site) { _ = state.ForgetWait(s.t.Context(), s); s.keeper.RecordChanged() }, 300 * time.Millisecond, "taken back", 0},
	} {
		t.Run(name, func(t *testing.T) {
			keeping(t, "", func(s *site) {
				s.wait(10 * time.Second)
				after(100 * time.Millisecond)
				s.hold(false)
				after(3 * time.Second)
				s.goesOn(5)
				c.then(s)
				after(c.in)
				s.ends(c.text, c.ended)
				sent := s.sent[render.Heartbeat(10)]
				if after(5 * time.Second); s.sent[render.Heartbeat(10)] > sent+1 {
					t.Error("heartbeats go on")
				}
			})
		})
	}
}

// TestMove: a wait ends by itself if the virtual IPs do not move. A wait without connections lasts render.ForwardTime.
func TestMove(t *testing.T) {
	keeping(t, "", func(s *site) {
		s.wait(time.Hour)
		after(moveTime + time.Second)
		s.ends("did not leave this host", 0)
		s.do(func() { s.sessions = 0 })
		s.wait(time.Hour)
		s.hold(false)
		after(render.ForwardTime - 100*time.Millisecond)
		s.goesOn(0)
		after(time.Second)
		s.ends("all 0 connections have ended", 1)
	})
}

// TestDeadlineChanges: a new deadline takes effect at once.
func TestDeadlineChanges(t *testing.T) {
	keeping(t, "", func(s *site) {
		s.wait(time.Hour)
		s.hold(false)
		after(3 * time.Second)
		w, err := state.ReadWait(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		w.Until = time.Now().Add(5 * time.Second)
		_ = w.Write(t.Context(), s)
		s.keeper.RecordChanged()
		after(4900 * time.Millisecond)
		s.goesOn(5)
		after(300 * time.Millisecond)
		s.ends("the deadline has passed", 1)
	})
}

// TestRestart: a restarted agent continues the wait if it is back while the new holder still forwards.
func TestRestart(t *testing.T) {
	for away, ends := range map[time.Duration]bool{time.Second: false, 3 * time.Second: true} {
		synctest.Test(t, func(t *testing.T) {
			doc := parsed(t, spec)
			s := &site{Host: fake.New(), t: t, serves: true, sessions: 5, elsewhere: true, sent: map[uint64]int{}, from: map[netip.Addr][]netip.Addr{}}
			if _, err := (&reconcile.Reconciler{Host: s.Host, Log: slog.New(slog.DiscardHandler)}).Once(t.Context(), doc); err != nil {
				t.Fatal(err)
			}
			s.keeper = New(s, slog.New(slog.DiscardHandler), func(w state.Waiting) { s.do(func() { s.reported = w }) })
			s.wait(time.Hour)
			end := s.run()
			after(3 * time.Second)
			end()
			if n := s.sent[render.HeartbeatRest(10)]; n != 2 { // one for each family
				t.Errorf("%d times the new holder was asked to forward meanwhile", n)
			}
			after(away)
			end = s.run()
			after(3 * time.Second)
			if ends {
				s.ends("too late: 0 of 5 connections ended by themselves, 5 closed", 1)
			} else {
				s.goesOn(5)
			}
			end()
		})
	}
}

// TestBeginsLater: a wait that cannot begin is tried again soon, without a change of its record.
func TestBeginsLater(t *testing.T) {
	keeping(t, "", func(s *site) {
		s.do(func() { s.FailMethod("Interfaces", errors.New("cannot list interfaces: no buffer space available")) })
		s.wait(time.Hour)
		after(100 * time.Millisecond)
		s.do(func() { s.FailMethod("Interfaces", nil) })
		s.hold(false)
		after(time.Second)
		s.goesOn(5)
	})
}

// TestTargets: heartbeats have the source of the advertisements. With unicast they go to the peers, else to all hosts.
func TestTargets(t *testing.T) {
	const nodes = "nodes:\n- {name: lb1, addresses: [198.51.100.11, \"2001:db8::11\"]}\n- {name: lb2, addresses: [198.51.100.12, \"2001:db8::12\"]}\n- {name: lb3, addresses: [198.51.100.13, \"2001:db8::13\"]}\n"
	addr := netip.MustParseAddr
	for name, c := range map[string]struct {
		more string
		want map[netip.Addr][]netip.Addr
	}{
		"no nodes":  {"", map[netip.Addr][]netip.Addr{addr("198.51.100.11"): {addr("224.0.0.1")}, addr("fe80::11"): {addr("ff02::1")}}},
		"multicast": {nodes, map[netip.Addr][]netip.Addr{addr("198.51.100.11"): {addr("224.0.0.1")}, addr("fe80::11"): {addr("ff02::1")}}},
		"unicast": {nodes + "vrrp: {transport: unicast}\n", map[netip.Addr][]netip.Addr{
			addr("198.51.100.11"): {addr("198.51.100.12"), addr("198.51.100.13")}, addr("2001:db8::11"): {addr("2001:db8::12"), addr("2001:db8::13")},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			keeping(t, c.more, func(s *site) {
				s.wait(time.Hour)
				after(950 * time.Millisecond)
				if n := s.sent[render.Heartbeat(10)]; n != 20 {
					t.Errorf("%d heartbeats in a second, in two families", n)
				}
				for from, to := range c.want {
					if got := s.from[from]; !equal(got, to) || len(s.from) != len(c.want) {
						t.Errorf("from %v: to %v, want %v; all: %v", from, got, to, s.from)
					}
				}
			})
		})
	}
}

func equal(a, b []netip.Addr) bool {
	for i := range a {
		if len(a) != len(b) || a[i] != b[i] {
			return false
		}
	}
	return len(a) == len(b)
}

// TestDrainAgain: a drain that begins right after the virtual IPs have come back has a wait of its own.
func TestDrainAgain(t *testing.T) {
	keeping(t, "", func(s *site) {
		s.wait(time.Hour)
		s.hold(false)
		after(3 * time.Second)
		s.hold(true)
		s.wait(time.Hour)
		after(time.Second)
		if wait, err := state.ReadWait(t.Context(), s); err != nil || wait == nil {
			t.Fatalf("the second wait is gone: %v", err)
		}
		s.hold(false)
		after(3 * time.Second)
		s.goesOn(5)
	})
}

// TestLateMove: after the deadline the keeper does not look for the move all the time.
func TestLateMove(t *testing.T) {
	keeping(t, "", func(s *site) {
		s.wait(100 * time.Millisecond)
		after(2 * time.Second)
		if n := s.looks; n > 15 {
			t.Errorf("%d looks in 2 s", n)
		}
		s.hold(false)
		after(time.Second)
		s.ends("the deadline has passed", 1)
	})
}

// TestManyConnections: a move is seen soon, although it takes long to count the connections.
func TestManyConnections(t *testing.T) {
	keeping(t, "", func(s *site) {
		s.slow = 60 * time.Millisecond
		s.wait(time.Hour)
		after(100 * time.Millisecond)
		s.hold(false)
		after(lookEvery + s.slow)
		s.goesOn(5)
	})
}
