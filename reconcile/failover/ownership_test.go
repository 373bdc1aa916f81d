package failover

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render/vrrp"
)

const (
	lowMAC, ownMAC, highMAC = "02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c"

	takeover      = 301 * time.Millisecond
	neighbourTime = 300 * time.Millisecond
	probeTime     = 200 * time.Millisecond
	patientTime   = 500 * time.Millisecond // how long VRRP waits for a keepalived that does not answer
)

var (
	vip  = netip.MustParsePrefix("198.51.100.100/32")
	vip6 = netip.MustParsePrefix("2001:db8::100/128")
	own  = netip.MustParsePrefix("198.51.100.11/24")
	peer = netip.MustParseAddr("198.51.100.12")

	service = netip.AddrPortFrom(vip.Addr(), 6443)

	identities = []vrrp.Identity{{RouterID: 100}}
)

// site is an ownership in a synctest bubble, on a host and a network whose state tests set.
type site struct {
	Host // nil: ownership does not call the other methods
	stage
	t          *testing.T
	ownership  *ownership
	addrs      []netip.Prefix
	beside     []netip.Prefix // the addresses of eth1
	role       host.Role
	roles      int   // number of queries for the role
	mute       error // the error of VRRP
	kills      int
	others     map[netip.Addr]string // MACs of other machines by the address they answer for
	behind     map[netip.Addr]string // the same for machines that answer after these
	idle       map[string]bool       // MACs that do not serve
	replies    map[string]host.Reply // replies of idle MACs to a probe
	alone      bool                  // the spec has no nodes
	bare       bool                  // no service listens on a virtual IP
	quiet      bool                  // no other host advertises the virtual router of the spec
	heardIn    time.Duration         // until the next advertisement of another host
	patient    bool                  // VRRPAtOnce gives no result
	first      func() string         // returns the MAC that answers first for the virtual IP; nil: the MAC in others
	asked      int
	probed     int
	looked     int                     // number of Interfaces calls
	listened   int                     // number of HearsRouter calls
	passes     bool                    // advertisements of other hosts reach keepalived here
	waits      bool                    // the host serves its former connections (drain --wait)
	looks      int                     // number of AdvertsPass calls
	broken     error                   // the error of RemoveAddress
	advertsErr error                   // the error of AdvertsPass
	askErr     error                   // the error of Neighbours
	watchers   []*func(toUsAlone bool) // the callbacks for claims
	announced  []netip.Addr
	requested  []string // requests for gratuitous ARP
	conflicts  []conflict
	hands      bool // planned moves forward packets
	ended      int  // number of EndSessions calls
	takeovers  int  // number of calls of tookOver
	log        bytes.Buffer
}

// File returns the record of drain --wait if waits is set.
func (s *site) File(_ context.Context, path string) (host.File, error) {
	if path != state.WaitFile || !s.waits {
		return host.File{}, nil
	}
	return host.File{Exists: true, Data: []byte(`{"began":"2000-01-01T00:00:00Z","until":"2000-01-02T00:00:00Z"}`)}, nil
}

func (s *site) Interfaces(context.Context) ([]host.Interface, error) {
	s.Lock()
	defer s.Unlock()
	s.looked++
	return []host.Interface{{Name: "lo", Prefixes: []netip.Prefix{vip}}, {Name: "eth0", Prefixes: slices.Clone(s.addrs)}, {Name: "eth1", Prefixes: slices.Clone(s.beside)}}, nil
}

func (s *site) RemoveAddress(_ context.Context, iface string, p netip.Prefix) error {
	s.Lock()
	defer s.Unlock()
	from := map[string]*[]netip.Prefix{"eth0": &s.addrs, "eth1": &s.beside}[iface]
	if from == nil {
		s.t.Fatalf("removes an address of %s", iface)
	}
	if s.broken == nil {
		*from = slices.DeleteFunc(*from, func(have netip.Prefix) bool { return have == p })
	}
	return s.broken
}

func (s *site) Unit(context.Context, string) (host.Unit, error) {
	s.Lock()
	defer s.Unlock()
	if s.role == host.RoleStopped {
		return host.Unit{ActiveState: "inactive"}, nil
	}
	return host.Unit{ActiveState: "active", MainPID: 1}, nil
}

func (s *site) VRRP(context.Context, int) ([]host.Instance, error) {
	var role host.Role
	var mute error
	s.do(func() { s.roles++; role, mute = s.role, s.mute })
	if errors.Is(mute, host.ErrNoAnswer) {
		time.Sleep(patientTime)
	}
	return []host.Instance{{Role: role}}, mute
}

func (s *site) KillUnit(context.Context, string) error {
	s.do(func() { s.kills++ })
	return nil
}

func (s *site) MAC(string) (string, error) { return ownMAC, nil }

func (s *site) Neighbours(ctx context.Context, iface string, asked []netip.Addr) (map[netip.Addr]string, error) {
	var err error
	if s.do(func() { s.asked++; err = s.askErr }); err != nil {
		return nil, err
	}
	return s.OtherNeighbours(ctx, iface, asked, nil)
}

func (s *site) OtherNeighbours(_ context.Context, _ string, asked []netip.Addr, without []string) (map[netip.Addr]string, error) {
	found := map[netip.Addr]string{}
	ask := func() {
		for _, answers := range []map[netip.Addr]string{s.others, s.behind} {
			for _, addr := range asked {
				if mac := answers[addr]; mac != "" && found[addr] == "" && !slices.Contains(without, mac) {
					found[addr] = mac
				}
			}
		}
		if s.first != nil && slices.Contains(asked, vip.Addr()) {
			found[vip.Addr()] = s.first()
		}
	}
	for range 2 {
		if s.do(ask); len(found) == len(asked) {
			break
		}
		time.Sleep(neighbourTime / 2)
	}
	return found, nil
}

func (s *site) ProbeServices(_ context.Context, iface string, at []host.Endpoint) ([]host.Reply, error) {
	replies := make([]host.Reply, len(at))
	silent := false
	s.do(func() {
		s.probed++
		for i, e := range at {
			if iface != "eth0" || e.From != own.Addr() || !s.bare && e.At != service {
				s.t.Errorf("probes on %s: %+v", iface, e)
			}
			if replies[i] = host.Accepted; s.idle[e.MAC] {
				replies[i] = s.replies[e.MAC]
			}
			silent = silent || replies[i] == host.Silent
		}
	})
	if silent {
		time.Sleep(probeTime)
	}
	return replies, nil
}

func (s *site) HearsRouter(_ context.Context, iface string, ids []vrrp.Identity, from []netip.Prefix, _ time.Duration) (bool, error) {
	var quiet bool
	var heardIn time.Duration
	s.do(func() { s.listened++; quiet, heardIn = s.quiet, s.heardIn })
	if iface != "eth0" || !slices.Equal(ids, identities) || from != nil && !slices.Equal(from, []netip.Prefix{own}) {
		s.t.Errorf("listens on %s for %v from %v", iface, ids, from)
	}
	if quiet {
		heardIn = 2 * takeover / 3
	}
	time.Sleep(heardIn)
	return !quiet, nil
}

func (s *site) VRRPAtOnce(context.Context, int) ([]host.Instance, error) {
	var mute error
	var role host.Role
	s.do(func() { s.roles++; mute, role = s.mute, s.role })
	switch {
	case s.patient:
		return nil, nil
	case mute != nil:
		time.Sleep(120 * time.Millisecond)
	}
	return []host.Instance{{Role: role}}, mute
}

func (s *site) AdvertsPass(ctx context.Context, iface string, ids []vrrp.Identity) (bool, error) {
	var passes bool
	var err error
	s.do(func() { s.looks++; passes, err = s.passes, s.advertsErr })
	if iface != "eth0" || !slices.Equal(ids, identities) {
		s.t.Errorf("listens on %s for %v", iface, ids)
	}
	if !passes {
		select {
		case <-ctx.Done():
		case <-time.After(takeover + 49*time.Millisecond):
			s.do(func() { passes = s.passes })
		}
	}
	return passes, err
}

func (s *site) WatchHolders(ctx context.Context, _ string, _ []netip.Addr, claimed func(toUsAlone bool)) error {
	s.do(func() { s.watchers = append(s.watchers, &claimed) })
	<-ctx.Done()
	s.do(func() {
		s.watchers = slices.DeleteFunc(s.watchers, func(w *func(bool)) bool { return w == &claimed })
	})
	return nil
}

// claimed delivers a claim of another host.
func (s *site) claimed(toUsAlone bool) {
	if len(s.watchers) == 0 {
		s.t.Error("nobody watches for other holders")
	}
	for _, claimed := range s.watchers {
		(*claimed)(toUsAlone)
	}
}

func (s *site) Announce(_ string, addrs []netip.Addr) error {
	s.Lock()
	defer s.Unlock()
	s.announced = append(s.announced, addrs...)
	return nil
}

func (s *site) AnnounceTo(_ string, addrs []netip.Addr, mac string) error {
	s.Lock()
	defer s.Unlock()
	for _, addr := range addrs {
		s.requested = append(s.requested, addr.String()+" at "+mac)
	}
	return nil
}

func (s *site) AnyAnswers(context.Context, string, []netip.Addr, time.Duration) (elsewhere bool, err error) {
	s.do(func() { elsewhere = s.others[vip.Addr()] != "" })
	return elsewhere, nil
}

func (s *site) EndSessions(context.Context, []netip.Addr, []uint16) (int, error) {
	s.do(func() { s.ended++ })
	return 1, nil
}

func holding(t *testing.T, do func(*site)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &site{t: t, addrs: []netip.Prefix{own}, role: host.RoleBackup, others: map[netip.Addr]string{peer: highMAC},
			behind: map[netip.Addr]string{}, idle: map[string]bool{}, replies: map[string]host.Reply{}}
		conflicts := make(chan conflict)
		s.ownership = newOwnership(s, conflicts, slog.New(slog.NewTextHandler(locked{&s.stage, &s.log}, nil)))
		s.ownership.tookOver = func() { s.do(func() { s.takeovers++ }) }
		ended := make(chan bool)
		go func() { s.ownership.run(ctx); close(ended) }()
		go func() {
			for {
				select {
				case c := <-conflicts:
					s.do(func() { s.conflicts = append(s.conflicts, c) })
				case <-ctx.Done():
					return
				}
			}
		}()
		s.Lock()
		s.force(true)
		s.unit("active")
		s.after(time.Second)
		do(s)
		s.Unlock()
		cancel()
		<-ended
	})
}

// master runs a test with an ownership on the host that is MASTER. Only the peer is on the link, with its own address.
func master(t *testing.T, do func(*site)) {
	holding(t, func(s *site) {
		s.role = host.RoleMaster
		s.hold(vip)
		s.after(2 * time.Second)
		s.announced = nil
		do(s)
	})
}

func (s *site) force(tracks bool) { give(&s.stage, s.ownership.force, s.spec(tracks)) }

func (s *site) spec(tracks bool) state.InForce {
	f := state.InForce{
		Interface: "eth0", VirtualIPs: []netip.Addr{vip.Addr(), vip6.Addr()}, Devices: []string{"", "eth1"}, Own: []netip.Addr{own.Addr()}, Peers: []netip.Addr{peer},
		Services: []netip.AddrPort{service}, Hands: s.hands, Tracks: tracks, Takeover: takeover, Identities: identities,
	}
	if s.alone {
		f.Own, f.Peers = nil, nil
	}
	if s.bare {
		f.Services = nil
	}
	return f
}

func (s *site) unit(state string) { give(&s.stage, s.ownership.units, state) }

// after lets time pass.
func (s *site) after(d time.Duration) { s.pass(d) }

// hold puts virtual IPs on the interface, and no others.
func (s *site) hold(vips ...netip.Prefix) {
	s.addrs = append([]netip.Prefix{own}, vips...)
	give(&s.stage, s.ownership.moved, struct{}{})
}

func (s *site) wantHeld(want ...netip.Prefix) {
	s.t.Helper()
	if got := s.addrs[1:]; s.addrs[0] != own || !slices.Equal(got, want) {
		s.t.Errorf("holds %v, want %v", got, want)
	}
}

// wantConflict checks the last conflict that health received.
func (s *site) wantConflict(yield bool, words string) {
	s.t.Helper()
	if len(s.conflicts) == 0 {
		s.t.Error("no conflict was published") // Fatal would leave the stage locked
		return
	}
	if last := s.conflicts[len(s.conflicts)-1]; last.standDown != yield || !strings.Contains(last.text, words) || words == "" && last.text != "" {
		s.t.Errorf("conflicts %+v, want %q", last, words)
	}
}

func (s *site) lines() int { return strings.Count(s.log.String(), "\n") }

// wantRequested checks that highMAC got so many requests for gratuitous ARP, all for vip.
func (s *site) wantRequested(times int) {
	s.t.Helper()
	if want := slices.Repeat([]string{vip.Addr().String() + " at " + highMAC}, times); !slices.Equal(s.requested, want) {
		s.t.Errorf("requested %v, want %v", s.requested, want)
	}
}

// TestRequestsGratuitousARP: a host that loses the virtual IPs to another host requests gratuitous ARP from that host, until it announces
// the virtual IPs to all hosts. Without a request, the other host may not know that neighbours have the MAC of this host.
func TestRequestsGratuitousARP(t *testing.T) {
	master(t, func(s *site) {
		s.others[vip.Addr()], s.role = highMAC, host.RoleBackup
		s.hold()
		s.after(900 * time.Millisecond)
		s.wantRequested(1)
		s.claimed(true) // an announcement to this host only does not reach the neighbours
		s.after(time.Second)
		s.wantRequested(2)
		s.claimed(false)
		s.after(time.Hour)
		s.wantRequested(2)
		give(&s.stage, s.ownership.moved, struct{}{}) // starts no new requests
		s.after(time.Second)
		s.wantRequested(2)
	})
	master(t, func(s *site) { // the other host does not answer yet
		s.role = host.RoleBackup
		s.hold()
		s.after(3 * time.Second)
		s.others[vip.Addr()] = highMAC
		s.after(3 * time.Second)
		s.wantRequested(1)
		s.role = host.RoleMaster
		s.hold(vip)
		s.after(time.Hour)
		s.wantRequested(1)
	})
	master(t, func(s *site) { // the host loses the virtual IPs again soon
		s.role = host.RoleBackup
		for range 2 {
			s.others[vip.Addr()] = highMAC
			s.hold()
			s.after(400 * time.Millisecond)
			s.wantRequested(1)
			delete(s.others, vip.Addr())
			s.hold(vip)
		}
		s.others[vip.Addr()] = highMAC
		s.hold()
		s.after(time.Second)
		s.wantRequested(2)
	})
	holding(t, func(s *site) { // the agent does not know what happened before its start
		s.others[vip.Addr()] = highMAC
		s.after(1500 * time.Millisecond)
		s.wantRequested(1)
		s.claimed(false)
		s.after(time.Hour)
		s.wantRequested(1)
	})
	for name, removed := range map[string]func(*site){ // the peer may have announced the virtual IPs before this host's link was up
		"by the agent":           func(s *site) { s.after(takeover + restartTime) },
		"by the next keepalived": func(s *site) { s.unit("activating"); s.after(0); s.hold() },
	} {
		master(t, func(s *site) {
			s.unit("failed")
			removed(s)
			s.wantHeld()
			s.others[vip.Addr()] = highMAC
			if s.after(2 * time.Second); len(s.requested) == 0 {
				t.Errorf("removed %s: nothing was requested", name)
			}
		})
	}
	for announced, want := range map[bool]int{true: 0, false: 1} { // if keepalived stops, a successor that announces itself needs no request
		master(t, func(s *site) {
			s.others[vip.Addr()] = highMAC
			s.unit("deactivating")
			s.after(0)
			s.hold()
			s.after(5 * time.Second)
			if announced {
				s.claimed(false)
			}
			s.after(1500 * time.Millisecond)
			s.wantRequested(want)
		})
	}
}

// TestOrphan: virtual IPs that a dead keepalived left behind are removed, but only after systemd has had time to restart
// keepalived.
func TestOrphan(t *testing.T) {
	for _, state := range []string{"failed", "inactive", "activating"} {
		master(t, func(s *site) {
			s.hold(vip, vip6)
			s.unit(state)
			s.after(takeover + 200*time.Millisecond) // the time for systemd to restart keepalived
			s.wantHeld(vip, vip6)
			s.unit("activating") // does not extend that time
			s.after(100 * time.Millisecond)
			s.wantHeld()
			if s.lines() != 1 || !strings.Contains(s.log.String(), "removed 198.51.100.100, 2001:db8::100 from eth0: keepalived does not run") {
				t.Error(s.log.String())
			}
		})
	}
	master(t, func(s *site) {
		s.unit("failed")
		s.after(takeover)
		s.others[vip.Addr()] = highMAC
		s.claimed(false) // the peer has taken over
		s.after(neighbourTime / 100)
		s.wantHeld()
	})
	master(t, func(s *site) {
		s.unit("activating")
		s.after(takeover)
		s.unit("active")
		s.after(time.Minute)
		s.unit("deactivating") // keepalived removes the addresses itself
		s.after(time.Minute)
		s.wantHeld(vip)
	})
}

// TestOrphanElsewhere: a virtual IP with an interface of its own is removed there, and only there: any other address stays.
func TestOrphanElsewhere(t *testing.T) {
	master(t, func(s *site) {
		s.beside = []netip.Prefix{vip, own, vip6}
		s.unit("failed")
		s.after(takeover + 300*time.Millisecond)
		s.wantHeld()
		if !slices.Equal(s.beside, []netip.Prefix{vip, own}) {
			t.Errorf("on eth1 remain %v", s.beside)
		}
		if s.lines() != 2 || !strings.Contains(s.log.String(), "removed 2001:db8::100 from eth1: keepalived does not run") {
			t.Error(s.log.String())
		}
	})
}

// TestStray: an address that keepalived did not add is removed, but not in the middle of a change.
func TestStray(t *testing.T) {
	for _, role := range []host.Role{host.RoleBackup, host.RoleFault} {
		holding(t, func(s *site) {
			s.role = role
			s.hold(vip)
			s.after(200 * time.Millisecond) // a change may take that long
			s.wantHeld(vip)
			s.after(100 * time.Millisecond)
			s.wantHeld()
			if s.lines() != 1 || !strings.Contains(s.log.String(), "keepalived is "+string(role)) {
				t.Error(s.log.String())
			}
		})
	}
	for _, role := range []host.Role{host.RoleMaster, host.RoleUnknown, host.RoleStopped} {
		holding(t, func(s *site) {
			s.hold(vip)
			s.after(200 * time.Millisecond)
			s.role = role
			s.after(5 * time.Minute)
			s.wantHeld(vip)
			if s.roles > 10 {
				t.Errorf("%s: asked %d times", role, s.roles)
			}
			s.role = host.RoleBackup // noticed when the spec is applied again
			s.force(true)
			s.after(300 * time.Millisecond)
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

// TestOrphanOfWinner: if another holder served a moment ago but has given up the virtual IPs, this host keeps them for the
// usual time when its keepalived dies.
func TestOrphanOfWinner(t *testing.T) {
	master(t, func(s *site) {
		s.others[vip.Addr()], s.others[vip6.Addr()] = highMAC, highMAC
		s.claimed(false)
		s.after(100 * time.Millisecond) // the other host is seen to serve
		delete(s.others, vip.Addr())
		delete(s.others, vip6.Addr())
		s.after(50 * time.Millisecond)
		s.unit("failed")
		s.after(takeover + 200*time.Millisecond)
		s.wantHeld(vip)
	})
}

// TestWithoutSpec: without a spec in force, ownership makes no checks, even if units change.
func TestWithoutSpec(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOwnership(&site{t: t}, nil, slog.New(slog.DiscardHandler))
		o.unitChanged("inactive")
		time.Sleep(time.Minute)
		if pause := o.pause(); pause < time.Minute {
			t.Errorf("looks again after %v, without end", pause)
		}
	})
}

// TestIdle: without events, ownership queries neither keepalived nor other hosts.
func TestIdle(t *testing.T) {
	for _, tt := range []struct {
		role host.Role
		held []netip.Prefix
	}{{host.RoleMaster, []netip.Prefix{vip}}, {host.RoleBackup, nil}} {
		holding(t, func(s *site) {
			s.role = tt.role
			s.hold(tt.held...)
			s.after(5 * time.Minute) // the requests for gratuitous ARP end, because no other host serves
			roles, asked := s.roles, s.asked
			s.announced = nil // forgets the announcement of the takeover
			s.after(time.Hour)
			s.hold(tt.held...) // an event without a change
			s.after(time.Second)
			if s.roles != roles || s.asked != asked || len(s.conflicts)+len(s.announced)+s.lines() > 0 || (len(s.watchers) == 0) != (tt.held == nil) {
				t.Errorf("%s: %+v", tt.role, s)
			}
		})
	}
}

// TestYield: of two masters, the one with the lower MAC stands down within a second, whichever was MASTER first.
func TestYield(t *testing.T) {
	const most = 700 * time.Millisecond
	master(t, func(s *site) { // the other host became MASTER second
		s.others[vip.Addr()] = highMAC
		s.claimed(false)
		s.after(takeover)
		if len(s.conflicts) > 0 {
			t.Error("keepalived had no time to end it")
		}
		s.after(most - takeover)
		s.wantConflict(true, "another host, MAC "+highMAC+", holds 198.51.100.100 too, and VRRP does not pass between the two: rlb-agent status says whether their specs differ, rlb-agent doctor says what blocks VRRP")
	})
	holding(t, func(s *site) { // this host became MASTER second
		s.others[vip.Addr()] = highMAC
		s.role = host.RoleMaster
		s.hold(vip)
		s.after(most)
		s.wantConflict(true, "holds 198.51.100.100 too")
	})
}

// TestYieldAfterAnError: a search that fails is repeated soon. The other holder may announce itself only once.
func TestYieldAfterAnError(t *testing.T) {
	for _, fails := range []time.Duration{takeover - time.Millisecond, takeover + 100*time.Millisecond} {
		master(t, func(s *site) {
			s.others[vip.Addr()] = highMAC
			s.claimed(false)
			s.after(fails)
			s.askErr = errors.New("no buffer space available")
			s.after(time.Second)
			s.askErr = nil
			s.after(5 * time.Second)
			s.wantConflict(true, "another host, MAC "+highMAC)
		})
	}
	master(t, func(s *site) { // an error that stays
		s.askErr = errors.New("not an Ethernet interface")
		s.claimed(false)
		s.after(time.Minute)
		asked := s.asked
		s.after(time.Hour)
		if s.asked-asked > 61 || s.lines() != 1 {
			t.Errorf("asked %d times in an hour:\n%s", s.asked-asked, &s.log)
		}
	})
}

// TestYieldToNobody: this host does not stand down if the other host gives up the virtual IPs while this one listens for
// advertisements: both hear each other again, and the other host has become BACKUP.
func TestYieldToNobody(t *testing.T) {
	master(t, func(s *site) {
		s.heardIn = time.Second
		s.others[vip.Addr()] = highMAC
		s.claimed(false)
		s.after(takeover + confirmTime + s.heardIn/2)
		if delete(s.others, vip.Addr()); s.listened != 1 {
			t.Errorf("listened %d times", s.listened)
		}
		s.after(time.Minute)
		if len(s.conflicts) > 0 {
			t.Errorf("conflicts %+v", s.conflicts)
		}
	})
}

// TestListens: a search listens for advertisements only if this host may lose to the rival, because listening takes time.
func TestListens(t *testing.T) {
	for name, meet := range map[string]func(*site){
		"a device":                func(s *site) { s.others[vip.Addr()], s.idle[highMAC] = highMAC, true },
		"a host with a lower MAC": func(s *site) { s.others[vip.Addr()], s.others[peer] = lowMAC, lowMAC },
		"without a keepalived": func(s *site) {
			s.others[vip.Addr()] = highMAC
			s.claimed(false)
			s.after(takeover)
			s.unit("failed")
		},
	} {
		master(t, func(s *site) {
			s.heardIn = time.Second
			meet(s)
			s.claimed(false)
			if s.after(time.Minute); s.listened > 0 {
				t.Errorf("%s: listened %d times", name, s.listened)
			}
		})
	}
}

// TestTakesOver: a host that becomes MASTER announces the virtual IPs once more after other hosts, which may have become
// MASTER at the same time, have become BACKUP. A host that is not MASTER does not announce virtual IPs on its interface.
func TestTakesOver(t *testing.T) {
	for role, want := range map[host.Role]int{host.RoleMaster: 1, host.RoleBackup: 0, host.RoleFault: 0} {
		holding(t, func(s *site) {
			s.role = role
			s.hold(vip)
			if len(s.announced) > 0 {
				t.Error("the others had no time to give way")
			}
			s.after(200 * time.Millisecond)
			if !slices.Equal(s.announced, slices.Repeat([]netip.Addr{vip.Addr()}, want)) {
				t.Errorf("%s: announced %v", role, s.announced)
			}
			if s.after(time.Hour); len(s.announced) != want {
				t.Errorf("%s: announced %v", role, s.announced)
			}
		})
	}
}

// TestRequestedAfterTakeover: the announcement after a takeover does not delay one that another host requests.
func TestRequestedAfterTakeover(t *testing.T) {
	holding(t, func(s *site) {
		s.role = host.RoleMaster
		s.hold(vip)
		s.after(200 * time.Millisecond)
		s.claimed(true)
		if s.after(0); len(s.announced) != 2 {
			t.Errorf("announced %v", s.announced)
		}
		s.claimed(true) // the former holder has removed the virtual IPs meanwhile
		if s.after(settleTime); len(s.announced) != 3 {
			t.Errorf("announced %v", s.announced)
		}
	})
}

// TestYieldAmongMore: of three masters, and of seven, all but the one with the highest MAC stand down within a second,
// whichever of the others answers first each time.
func TestYieldAmongMore(t *testing.T) {
	for _, hosts := range []int{3, 7} {
		for _, highest := range []bool{false, true} {
			master(t, func(s *site) {
				s.others = map[netip.Addr]string{}
				spec := s.spec(true)
				spec.Peers = nil
				for i := range hosts - 1 {
					addr, mac := netip.AddrFrom4([4]byte{198, 51, 100, byte(20 + i)}), fmt.Sprintf("02:00:00:00:00:%02x", i)
					if !highest && i%2 == 1 {
						mac = fmt.Sprintf("02:00:00:00:01:%02x", i)
					}
					spec.Peers, s.others[addr] = append(spec.Peers, addr), mac
				}
				give(&s.stage, s.ownership.force, spec)
				s.after(2 * time.Second)
				s.first = func() string {
					return s.others[spec.Peers[s.asked%len(spec.Peers)]]
				}
				s.claimed(false)
				s.after(time.Second)
				s.wantConflict(!highest, "another host, MAC")
				s.after(time.Hour)
				s.wantConflict(!highest, "another host, MAC")
				if slices.ContainsFunc(s.conflicts, func(c conflict) bool { return c.standDown && highest }) {
					t.Errorf("%d hosts, highest %t: conflicts %+v", hosts, highest, s.conflicts)
				}
			})
		}
	}
}

// TestTakenOverFromHung: a host that took over because the other host's keepalived hangs does not stand down at once, even
// with the lower MAC: the agent of the other host may still remove the virtual IPs. If that never happens, this host stands
// down.
func TestTakenOverFromHung(t *testing.T) {
	for _, gone := range []time.Duration{700 * time.Millisecond, 1300 * time.Millisecond, time.Hour} {
		holding(t, func(s *site) {
			s.others[vip.Addr()], s.quiet, s.role = highMAC, true, host.RoleMaster
			s.hold(vip)
			if gone > time.Minute {
				s.after(takeover + settleTime + hungTime + 800*time.Millisecond)
				s.wantConflict(true, "another host")
				return
			}
			s.after(gone)
			delete(s.others, vip.Addr())
			s.after(time.Minute)
			if len(s.conflicts) > 0 {
				t.Errorf("after %v: conflicts %+v", gone, s.conflicts)
			}
		})
	}
}

// TestStay: a host stays MASTER and reports the conflict if it has the higher MAC, if keepalived does not track the file, or
// if the other holder is none of the spec's nodes.
func TestStay(t *testing.T) {
	for _, tt := range []struct {
		name, other string
		tracks      bool
		words       string
	}{
		{"higher", lowMAC, true, "another host, MAC " + lowMAC},
		{"classic", highMAC, false, "another host, MAC " + highMAC},
		{"stranger", "02:00:00:00:00:ff", true, "not in nodes of the spec"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			master(t, func(s *site) {
				s.force(tt.tracks)
				s.after(2 * time.Second)
				s.others[vip.Addr()] = tt.other
				if tt.name != "stranger" {
					s.others[peer] = tt.other
				}
				s.claimed(false)
				s.after(700 * time.Millisecond)
				s.wantConflict(false, tt.words)
				said := len(s.announced)
				if said == 0 {
					t.Error("not announced")
				}
				s.after(time.Hour)
				if n := s.asked; n > 100 {
					t.Errorf("asked %d times", n)
				}
				if len(s.conflicts) != 1 || s.lines() != 1 || len(s.announced) <= said {
					t.Errorf("conflicts %v, announced %d times", s.conflicts, len(s.announced))
				}
				said = len(s.announced)
				delete(s.others, vip.Addr())
				s.after(2 * time.Minute)
				if s.wantConflict(false, ""); len(s.announced) != said+1 {
					t.Error("its end was not announced to those who believed the other")
				}
				s.wantHeld(vip)
			})
		})
	}
}

// TestHangs: a keepalived that does not answer after another host has taken over is killed. Without another host, or if it
// answers, it is not killed.
func TestHangs(t *testing.T) {
	mute := fmt.Errorf("cannot ask: %w", host.ErrNoAnswer)
	master(t, func(s *site) {
		s.role, s.mute = host.RoleUnknown, mute
		s.others[vip.Addr()] = highMAC
		s.claimed(false)
		if s.after(200 * time.Millisecond); s.kills != 1 {
			t.Errorf("killed %d times", s.kills)
		}
		s.wantHeld()
		s.unit("failed")
		if s.after(time.Second); !slices.Equal(s.requested, []string{vip.Addr().String() + " at " + highMAC}) {
			t.Errorf("requested %v: neighbours may still look for it here", s.requested)
		}
	})
	master(t, func(s *site) { // while the kernel runs this process late
		s.patient, s.role, s.mute = true, host.RoleUnknown, mute
		s.others[vip.Addr()] = highMAC
		s.claimed(false)
		if s.after(takeover + patientTime - 1); s.kills != 0 {
			t.Errorf("killed %d times", s.kills)
		}
		if s.after(1); s.kills != 1 {
			t.Errorf("killed %d times", s.kills)
		}
	})
	for name, device := range map[string]bool{"it has just taken over": false, "a device answers too": true} {
		holding(t, func(s *site) { // queries that run meanwhile do not delay the kill
			s.role, s.mute = host.RoleUnknown, mute
			began := settleTime // when keepalived is asked for its state
			if device {
				s.others[vip.Addr()], s.idle[lowMAC], s.replies[lowMAC] = lowMAC, true, host.Refused
				began += takeover + neighbourTime
			}
			s.hold(vip)
			s.after(began + time.Millisecond)
			s.others[vip.Addr()] = highMAC
			s.claimed(false)
			if s.after(400 * time.Millisecond); s.kills != 1 {
				t.Errorf("%s: killed %d times", name, s.kills)
			}
		})
	}
	for _, since := range []time.Duration{0, neighbourTime/2 - hangPause - 1, neighbourTime/2 - 1} { // the claim comes while a search is running
		master(t, func(s *site) {
			s.force(true)
			s.after(takeover + settleTime + since)
			s.role, s.mute = host.RoleUnknown, mute
			s.others[vip.Addr()] = highMAC
			s.claimed(false)
			if s.after(hangPause + 120*time.Millisecond); s.kills != 1 {
				t.Errorf("%v after its begin: killed %d times", since, s.kills)
			}
			s.wantHeld()
		})
	}
	master(t, func(s *site) { // the claim comes while a search is running that takes longer, because another node is down
		delete(s.others, peer)
		s.force(true)
		s.after(takeover + settleTime + neighbourTime/3)
		s.others[vip.Addr()] = highMAC
		s.after(neighbourTime / 3)
		s.role, s.mute = host.RoleUnknown, mute
		s.claimed(false)
		if s.after(neighbourTime/3 + 120*time.Millisecond); s.kills != 1 {
			t.Errorf("killed %d times", s.kills)
		}
	})
	for name, do := range map[string]func(s *site){
		"one whose spec tracks nothing": func(s *site) { s.force(false) },
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

// TestNoConflict: a claim is no conflict while roles change, nor if the other host has gone before the search.
func TestNoConflict(t *testing.T) {
	master(t, func(s *site) { // keepalived became BACKUP
		s.others[vip.Addr()] = highMAC
		s.claimed(false)
		s.after(takeover / 2)
		s.role = host.RoleBackup
		s.hold()
		s.after(time.Minute)
		if len(s.conflicts)+len(s.announced)+s.lines() > 0 {
			t.Errorf("%+v", s)
		}
	})
	master(t, func(s *site) { // the other host became BACKUP
		s.claimed(false)
		s.after(time.Minute)
		if len(s.conflicts) > 0 || !slices.Equal(s.announced, []netip.Addr{vip.Addr()}) {
			t.Errorf("%+v", s)
		}
	})
	master(t, func(s *site) { // the other host became BACKUP and requests an announcement
		s.claimed(true)
		if s.after(0); !slices.Equal(s.announced, []netip.Addr{vip.Addr()}) {
			t.Errorf("announced %v", s.announced)
		}
		if s.after(time.Minute); len(s.conflicts) > 0 {
			t.Errorf("conflicts %v", s.conflicts)
		}
		asked := s.asked
		s.others[vip.Addr()] = highMAC
		s.claimed(false)
		s.after(takeover) // the search has got its answer
		said := len(s.announced)
		s.claimed(true) // another copy of that answer
		if s.after(0); s.asked == asked || len(s.announced) != said {
			t.Errorf("announced for an answer: asked %d times, announced %d", s.asked-asked, len(s.announced)-said)
		}
	})
	master(t, func(s *site) { // the other host's keepalived was killed, and the address is about to be removed
		s.others[vip.Addr()] = highMAC
		s.claimed(false)
		s.after(takeover + 50*time.Millisecond)
		delete(s.others, vip.Addr())
		s.after(time.Minute)
		if len(s.conflicts)+s.lines() > 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestTookOver: a takeover is reported once, also if keepalived adds the virtual IPs one after the other.
func TestTookOver(t *testing.T) {
	holding(t, func(s *site) {
		s.role = host.RoleMaster
		for n := range 2 {
			s.hold(vip)
			s.hold(vip, vip6)
			if s.takeovers != n+1 {
				t.Errorf("takeover %d: %d reported", n+1, s.takeovers)
			}
			s.hold()
		}
	})
}
