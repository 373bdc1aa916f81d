package guard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
)

const (
	lowMAC, ownMAC, highMAC = "02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c"

	takeover      = 301 * time.Millisecond
	neighbourTime = 300 * time.Millisecond
)

var (
	vip  = netip.MustParsePrefix("198.51.100.100/32")
	vip6 = netip.MustParsePrefix("2001:db8::100/128")
	own  = netip.MustParsePrefix("198.51.100.11/24")
	peer = netip.MustParseAddr("198.51.100.12")
)

// site is a holder in a bubble of its own time, on a host and a network that tests set.
type site struct {
	t        *testing.T
	turns    sync.Mutex
	force    chan state.InForce
	units    chan string
	moved    chan struct{}
	addrs    []netip.Prefix
	role     host.Role
	roles    int   // times it was asked for
	mute     error // of Role
	kills    int
	others   map[netip.Addr]string // who else answers
	asked    int
	passes   bool  // VRRP of others, to keepalived here
	looks    int   // times it was asked for
	broken   error // of Remove
	deafness error // of Passes
	claimed  func(reminder bool)
	said     []netip.Addr // announced
	minded   []string     // reminded
	told     []Conflict
	log      bytes.Buffer
}

func holding(t *testing.T, do func(*site)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &site{
			t: t, force: make(chan state.InForce), units: make(chan string), moved: make(chan struct{}),
			addrs: []netip.Prefix{own}, role: host.RoleBackup, others: map[netip.Addr]string{peer: highMAC},
		}
		h := Holder{
			Addresses: func(_ context.Context, iface string) ([]netip.Prefix, error) {
				s.turn()
				if iface != "eth0" {
					t.Errorf("looks at %s", iface)
				}
				return slices.Clone(s.addrs), nil
			},
			Remove: func(_ context.Context, _ string, p netip.Prefix) error {
				s.turn()
				if s.broken == nil {
					s.addrs = slices.DeleteFunc(s.addrs, func(have netip.Prefix) bool { return have == p })
				}
				return s.broken
			},
			Role: func(context.Context) (host.Role, error) { s.turn(); s.roles++; return s.role, s.mute },
			Kill: func(context.Context) error { s.turn(); s.kills++; return nil },
			MAC:  func(string) (string, error) { return ownMAC, nil },
			Neighbours: func(_ context.Context, _ string, asked []netip.Addr) (map[netip.Addr]string, error) {
				s.turns.Lock()
				s.asked++
				s.turns.Unlock()
				found := map[netip.Addr]string{}
				for _, addr := range asked {
					if mac := s.others[addr]; mac != "" {
						found[addr] = mac
					}
				}
				if len(found) < len(asked) {
					time.Sleep(neighbourTime)
				}
				return found, nil
			},
			Passes: func(ctx context.Context, f state.InForce) (bool, error) {
				s.turns.Lock()
				s.looks++
				passes := s.passes
				s.turns.Unlock()
				if f.Interface != "eth0" {
					t.Errorf("listens on %s", f.Interface)
				}
				if !passes {
					select {
					case <-ctx.Done():
					case <-time.After(takeover + 49*time.Millisecond):
					}
				}
				return passes, s.deafness
			},
			Watch: func(ctx context.Context, _ string, _ []netip.Addr, claimed func(reminder bool)) error {
				s.turn()
				s.claimed = claimed
				<-ctx.Done()
				s.claimed = nil
				return nil
			},
			Announce: func(_ string, addr netip.Addr) error { s.said = append(s.said, addr); return nil },
			Remind: func(_ string, addr netip.Addr, mac string) error {
				s.turns.Lock()
				defer s.turns.Unlock()
				s.minded = append(s.minded, addr.String()+" at "+mac)
				return nil
			},
			Tell: func(_ context.Context, c Conflict) { s.turn(); s.told = append(s.told, c) },
			Log:  slog.New(slog.NewTextHandler(&s.log, nil)),
		}
		ended := make(chan bool)
		go func() { h.Run(ctx, s.force, s.units, s.moved); close(ended) }()
		s.heed(true)
		s.units <- "active"
		s.after(time.Second)
		do(s)
		cancel()
		<-ended
	})
}

// master is a holder on the host that is master, with nobody else there but the peer.
func master(t *testing.T, do func(*site)) {
	holding(t, func(s *site) {
		s.role = host.RoleMaster
		s.hold(vip)
		s.after(2 * time.Second)
		do(s)
	})
}

func (s *site) heed(tracks bool) {
	s.force <- state.InForce{
		Interface: "eth0", VirtualIPs: []netip.Addr{vip.Addr(), vip6.Addr()}, Peers: []netip.Addr{peer}, Tracks: tracks, Takeover: takeover,
	}
}

// after lets time pass.
func (s *site) after(d time.Duration) { s.turn(); time.Sleep(d); synctest.Wait() }

// turn tells the race detector that the test and the holder take turns.
func (s *site) turn() {
	s.turns.Lock()
	defer s.turns.Unlock()
}

// hold puts virtual IPs on the interface, and no others.
func (s *site) hold(vips ...netip.Prefix) {
	s.addrs = append([]netip.Prefix{own}, vips...)
	s.moved <- struct{}{}
	synctest.Wait()
}

func (s *site) wantHeld(want ...netip.Prefix) {
	s.t.Helper()
	if got := s.addrs[1:]; s.addrs[0] != own || !slices.Equal(got, want) {
		s.t.Errorf("holds %v, want %v", got, want)
	}
}

// wantTold says what the guard was told last, and since when.
func (s *site) wantTold(yield bool, words string) {
	s.t.Helper()
	if len(s.told) == 0 {
		s.t.Fatal("nothing was told")
	}
	if last := s.told[len(s.told)-1]; last.Yield != yield || !strings.Contains(last.Text, words) || words == "" && last.Text != "" {
		s.t.Errorf("told %+v, want %q", last, words)
	}
}

func (s *site) reminded() []string {
	s.turns.Lock()
	defer s.turns.Unlock()
	return s.minded
}

func (s *site) lines() int { return strings.Count(s.log.String(), "\n") }

// TestReminds: who loses the virtual IPs to another tells that one, which may never have heard of this host, and so has
// not told the neighbours either.
func TestReminds(t *testing.T) {
	master(t, func(s *site) {
		s.others[vip.Addr()], s.role = highMAC, host.RoleBackup
		s.hold()
		s.after(time.Second)
		if want := []string{vip.Addr().String() + " at " + highMAC}; !slices.Equal(s.reminded(), want) {
			t.Errorf("reminded %v, want %v", s.minded, want)
		}
		s.moved <- struct{}{} // not again
		s.after(time.Second)
		if len(s.reminded()) != 1 {
			t.Errorf("reminded %v", s.minded)
		}
	})
	master(t, func(s *site) { // one that goes for good leaves it to keepalived
		s.others[vip.Addr()] = highMAC
		s.units <- "deactivating"
		s.after(0)
		s.hold()
		s.after(time.Second)
		if len(s.reminded()) != 0 {
			t.Errorf("reminded %v", s.minded)
		}
	})
}

// TestOrphan: what a keepalived left that is gone is taken off, but systemd has its chance before.
func TestOrphan(t *testing.T) {
	for _, state := range []string{"failed", "inactive", "activating"} {
		master(t, func(s *site) {
			s.hold(vip, vip6)
			s.units <- state
			s.after(takeover + restartTime - time.Millisecond)
			s.wantHeld(vip, vip6)
			s.units <- "activating" // which is no new chance
			s.after(time.Millisecond)
			s.wantHeld()
			if s.lines() != 1 || !strings.Contains(s.log.String(), "took 198.51.100.100, 2001:db8::100 off eth0: keepalived is not running") {
				t.Error(s.log.String())
			}
		})
	}
	master(t, func(s *site) {
		s.units <- "failed"
		s.after(takeover)
		s.claimed(false) // the peer has taken over
		s.after(0)
		s.wantHeld()
	})
	master(t, func(s *site) {
		s.units <- "activating"
		s.after(takeover)
		s.units <- "active"
		s.after(time.Minute)
		s.units <- "deactivating" // it takes them off itself
		s.after(time.Minute)
		s.wantHeld(vip)
	})
}

// TestStray: an address that keepalived did not put there is taken off, but not in the middle of a change.
func TestStray(t *testing.T) {
	for _, role := range []host.Role{host.RoleBackup, host.RoleFault} {
		holding(t, func(s *site) {
			s.role = role
			s.hold(vip)
			s.after(settleTime + secondLook - time.Millisecond)
			s.wantHeld(vip)
			s.after(time.Millisecond)
			s.wantHeld()
			if s.lines() != 1 || !strings.Contains(s.log.String(), "keepalived is "+string(role)) {
				t.Error(s.log.String())
			}
		})
	}
	for _, role := range []host.Role{host.RoleMaster, host.RoleUnknown, host.RoleStopped} {
		holding(t, func(s *site) {
			s.hold(vip)
			s.after(settleTime + secondLook/2)
			s.role = role
			s.after(5 * time.Minute)
			s.wantHeld(vip)
			if s.roles > 10 {
				t.Errorf("%s: asked %d times", role, s.roles)
			}
			s.role = host.RoleBackup // a while later, noticed with the next round
			s.heed(true)
			s.after(settleTime + secondLook)
			s.wantHeld()
		})
	}
	holding(t, func(s *site) {
		s.broken = errors.New("not permitted")
		s.hold(vip)
		s.after(time.Minute)
		if s.lines() != 1 {
			t.Error(s.log.String())
		}
	})
}

// TestAtPeace: where nothing happens nobody is asked.
func TestAtPeace(t *testing.T) {
	for _, tt := range []struct {
		role host.Role
		held []netip.Prefix
	}{{host.RoleMaster, []netip.Prefix{vip}}, {host.RoleBackup, nil}} {
		holding(t, func(s *site) {
			s.role = tt.role
			s.hold(tt.held...)
			s.after(2 * time.Second)
			roles, asked := s.roles, s.asked
			s.after(time.Hour)
			s.hold(tt.held...) // an event that changed nothing here
			s.after(time.Second)
			if s.roles != roles || s.asked != asked || len(s.told)+len(s.said)+s.lines() > 0 || (s.claimed == nil) != (tt.held == nil) {
				t.Errorf("%s: %+v", tt.role, s)
			}
		})
	}
}

// TestYield: of two masters the one with the lower MAC gives way within a second, whoever came first.
func TestYield(t *testing.T) {
	const most = 700 * time.Millisecond
	master(t, func(s *site) { // the other one came
		s.others[vip.Addr()] = highMAC
		s.claimed(false)
		s.after(takeover)
		if len(s.told) > 0 {
			t.Error("keepalived had no time to end it")
		}
		s.after(most - takeover)
		s.wantTold(true, "another host, MAC "+highMAC+", holds 198.51.100.100 too, and VRRP between the two does not pass")
	})
	holding(t, func(s *site) { // this one came
		s.others[vip.Addr()] = highMAC
		s.role = host.RoleMaster
		s.hold(vip)
		s.after(most)
		s.wantTold(true, "holds 198.51.100.100 too")
	})
}

// TestStay: the one with the higher MAC, or that nobody heeds, or that met a stranger, says so and stays.
func TestStay(t *testing.T) {
	for _, tt := range []struct {
		name, other string
		tracks      bool
		words       string
	}{
		{"higher", lowMAC, true, "another host, MAC " + lowMAC},
		{"classic", highMAC, false, "another host, MAC " + highMAC},
		{"stranger", "02:00:00:00:00:ff", true, "none of the spec's nodes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			master(t, func(s *site) {
				s.heed(tt.tracks)
				s.after(2 * time.Second)
				s.others[vip.Addr()] = tt.other
				if tt.name != "stranger" {
					s.others[peer] = tt.other
				}
				s.claimed(false)
				s.after(700 * time.Millisecond)
				s.wantTold(false, tt.words)
				said := len(s.said)
				if said == 0 {
					t.Error("not announced")
				}
				s.after(time.Hour)
				if n := s.asked; n > 100 {
					t.Errorf("asked %d times", n)
				}
				if len(s.told) != 1 || s.lines() != 1 || len(s.said) <= said {
					t.Errorf("told %v, announced %d times", s.told, len(s.said))
				}
				said = len(s.said)
				delete(s.others, vip.Addr())
				s.after(2 * lastRecall)
				if s.wantTold(false, ""); len(s.said) != said+1 {
					t.Error("its end was not announced to those who believed the other")
				}
				s.wantHeld(vip)
			})
		})
	}
}

// TestHangs: a keepalived that does not answer while another host has taken over is killed; one that only does not answer,
// or that answers, is not.
func TestHangs(t *testing.T) {
	mute := fmt.Errorf("cannot ask: %w", host.ErrNoAnswer)
	master(t, func(s *site) {
		s.role, s.mute = host.RoleUnknown, mute
		s.others[vip.Addr()] = highMAC
		s.claimed(false)
		if s.after(takeover); s.kills != 1 {
			t.Errorf("killed %d times", s.kills)
		}
		s.units <- "failed"
		s.after(0)
		s.wantHeld()
	})
	for name, do := range map[string]func(s *site){
		"one whose spec tracks nothing": func(s *site) { s.heed(false) },
		"a stranger has the address":    func(s *site) { s.others[peer] = lowMAC },
	} {
		master(t, func(s *site) {
			do(s)
			s.role, s.mute = host.RoleUnknown, mute
			s.others[vip.Addr()] = highMAC
			s.claimed(false)
			if s.after(time.Minute); s.kills > 0 {
				t.Errorf("%s: killed %d times", name, s.kills)
			}
		})
	}
	master(t, func(s *site) {
		s.role, s.mute = host.RoleUnknown, mute
		s.claimed(false)
		s.after(time.Minute)
		s.mute = errors.New("cannot look")
		s.others[vip.Addr()] = highMAC
		s.claimed(false)
		if s.after(time.Minute); s.kills > 0 {
			t.Errorf("killed %d times", s.kills)
		}
	})
}

// TestNoConflict: a claim is no conflict while roles change, nor when it is over before it is looked at.
func TestNoConflict(t *testing.T) {
	master(t, func(s *site) { // keepalived gave way
		s.others[vip.Addr()] = highMAC
		s.claimed(false)
		s.after(takeover / 2)
		s.role = host.RoleBackup
		s.hold()
		s.after(time.Minute)
		if len(s.told)+len(s.said)+s.lines() > 0 {
			t.Errorf("%+v", s)
		}
	})
	master(t, func(s *site) { // the other one gave way
		s.claimed(false)
		s.after(time.Minute)
		if len(s.told) > 0 || !slices.Equal(s.said, []netip.Addr{vip.Addr()}) {
			t.Errorf("%+v", s)
		}
	})
	master(t, func(s *site) { // the other one gave way, and says so
		s.claimed(true)
		if s.after(0); !slices.Equal(s.said, []netip.Addr{vip.Addr()}) {
			t.Errorf("announced %v", s.said)
		}
		if s.after(time.Minute); len(s.told) > 0 {
			t.Errorf("told %v", s.told)
		}
		asked := s.asked
		s.others[vip.Addr()] = highMAC
		s.claimed(false)
		s.after(takeover) // asked, and answered
		said := len(s.said)
		s.claimed(true) // the same answer
		if s.after(0); s.asked == asked || len(s.said) != said {
			t.Errorf("announced for an answer: asked %d times, announced %d", s.asked-asked, len(s.said)-said)
		}
	})
	master(t, func(s *site) { // it is about to go: a keepalived that was killed
		s.others[vip.Addr()] = highMAC
		s.claimed(false)
		s.after(takeover + secondLook/2)
		delete(s.others, vip.Addr())
		s.after(time.Minute)
		if len(s.told)+s.lines() > 0 {
			t.Errorf("%+v", s)
		}
	})
}
