package failover

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
)

const device = "02:00:00:00:00:ee" // higher than ownMAC

// claimants are machines that answer for the virtual IP but do not serve at it.
var claimants = map[string]func(*site){
	"a device that answers ARP":         func(s *site) { s.others[vip.Addr()] = device },
	"a router with proxy ARP":           func(s *site) { s.others[vip.Addr()], s.others[peer] = device, device },
	"a router, the peer is down":        func(s *site) { s.others[vip.Addr()] = device; delete(s.others, peer) },
	"a device, the spec has no nodes":   func(s *site) { s.others[vip.Addr()] = device; s.alone = true; s.force(true) },
	"a machine with the address":        func(s *site) { s.others[vip.Addr()] = device; s.replies[device] = host.Refused },
	"the peer, where its HAProxy ended": func(s *site) { s.others[vip.Addr()] = highMAC; s.idle[highMAC] = true },
	"two devices": func(s *site) {
		s.others[vip.Addr()], s.behind[vip.Addr()] = device, "02:00:00:00:00:ef"
		s.idle["02:00:00:00:00:ef"] = true
	},
}

// TestClaimant: a machine that answers for the virtual IP but does not serve is reported, and changes nothing.
func TestClaimant(t *testing.T) {
	for name, appear := range claimants {
		t.Run(name, func(t *testing.T) {
			master(t, func(s *site) {
				s.idle[device] = true
				appear(s)
				s.after(2 * time.Second)
				s.claimed(false)
				s.after(4 * time.Second)
				s.wantConflict(false, "answers for 198.51.100.100 but does not serve there, so no host yields to it")
				for range 60 {
					s.claimed(false)
					s.claimed(true)
					s.after(time.Minute)
				}
				if len(s.conflicts) != 1 || !s.conflicts[0].idle || s.lines() != 1 || s.kills > 0 || s.asked > 200 {
					t.Errorf("conflicts %+v, asked %d times, killed %d times, log:\n%s", s.conflicts, s.asked, s.kills, s.log.String())
				}
				s.wantHeld(vip)
				clear(s.others)
				clear(s.behind)
				s.after(2 * time.Minute)
				if s.wantConflict(false, ""); s.lines() != 2 {
					t.Error(s.log.String())
				}
			})
		})
	}
}

// TestClaimantHidesNobody: a search finds the host that serves although a router with proxy ARP answers first.
func TestClaimantHidesNobody(t *testing.T) {
	master(t, func(s *site) {
		s.others[vip.Addr()], s.behind[vip.Addr()], s.idle[device] = device, highMAC, true
		s.claimed(false)
		s.after(time.Second)
		s.wantConflict(true, "another host, MAC "+highMAC+", holds 198.51.100.100 too")
	})
}

// TestClaimantKillsNothing: a machine that only answers causes no kill of a hung keepalived, and shortens no time that
// systemd has for a restart.
func TestClaimantKillsNothing(t *testing.T) {
	master(t, func(s *site) {
		s.role, s.mute = host.RoleUnknown, fmt.Errorf("cannot ask: %w", host.ErrNoAnswer)
		s.others[vip.Addr()], s.idle[device] = device, true
		s.claimed(false)
		if s.after(time.Minute); s.kills > 0 || s.probed == 0 {
			t.Errorf("killed %d times, probed %d times", s.kills, s.probed)
		}
	})
	master(t, func(s *site) {
		s.others[vip.Addr()], s.idle[device] = device, true
		s.claimed(false)
		s.after(time.Second)
		s.unit("activating")
		s.claimed(false)
		s.after(takeover + 200*time.Millisecond) // the time for systemd to restart keepalived
		s.wantHeld(vip)
	})
}

// TestClaimantLearnsNothing: a device that only answers for the virtual IPs gets no request for gratuitous ARP, because it
// would learn the MAC of a host that does not hold them.
func TestClaimantLearnsNothing(t *testing.T) {
	master(t, func(s *site) {
		s.others[vip.Addr()], s.behind[vip.Addr()], s.idle[device], s.role = device, highMAC, true, host.RoleBackup
		s.hold()
		s.after(2 * time.Second)
		if len(s.requested) != 1 || !strings.HasSuffix(s.requested[0], highMAC) {
			t.Errorf("requested %v", s.requested)
		}
	})
}

// TestManyClaims: many claims cause only few announcements, searches and reads of the interfaces.
func TestManyClaims(t *testing.T) {
	for _, answers := range []string{"", device} {
		master(t, func(s *site) {
			s.others[vip.Addr()], s.idle[device] = answers, true
			asked, looked := s.asked, s.looked
			for n := range 10_000 {
				if s.claimed(n%2 == 0); n%10 == 9 {
					s.after(10 * time.Millisecond)
				}
			}
			s.after(2 * time.Second)
			if n := len(s.announced); n < 1 || n > 13 {
				t.Errorf("%d announcements in 12 s", n)
			}
			if asked, looked := s.asked-asked, s.looked-looked; asked > 45 || looked > 1500 {
				t.Errorf("asked %d times, looked %d times", asked, looked)
			}
			s.wantHeld(vip)
		})
	}
	// faked devices do not fill the log
	master(t, func(s *site) {
		for n := range 600 {
			mac := fmt.Sprintf("02:00:00:00:%02x:%02x", n/256, n%256)
			s.others[vip.Addr()], s.idle[mac] = mac, true
			s.claimed(false)
			s.after(time.Second)
		}
		if s.lines() > 11 || s.conflicts[len(s.conflicts)-1].standDown {
			t.Errorf("%d lines in 10 minutes", s.lines())
		}
	})
}

// TestStopsServing: a stand-down ends soon after the other host stops serving, even if that host still answers.
func TestStopsServing(t *testing.T) {
	yielding(t, func(s *site) {
		s.after(time.Minute)
		s.wantConflict(true, "holds")
		s.idle[highMAC] = true
		s.after(4 * time.Second)
		s.wantConflict(false, "")
		if !strings.Contains(s.log.String(), "no other host serves at the virtual IPs any more: this host no longer stands down") {
			t.Error(s.log.String())
		}
	})
	yielding(t, func(s *site) { // it does not end while a host serves behind a device that answers first
		s.others[vip.Addr()], s.behind[vip.Addr()], s.idle[device] = device, highMAC, true
		s.after(time.Minute)
		s.wantConflict(true, "holds")
	})
}

// TestYieldsWithoutNodes: a host also stands down if the spec has no nodes.
func TestYieldsWithoutNodes(t *testing.T) {
	master(t, func(s *site) {
		s.alone = true
		s.force(true)
		s.after(2 * time.Second)
		s.others[vip.Addr()] = highMAC
		s.claimed(false)
		s.after(700 * time.Millisecond)
		s.wantConflict(true, "another host, MAC "+highMAC)
	})
}

// TestNoServiceOnVirtualIP: if no service listens on a virtual IP, a machine that refuses a connection holds the virtual IP.
func TestNoServiceOnVirtualIP(t *testing.T) {
	for reply, yields := range map[host.Reply]bool{host.Refused: true, host.Silent: false} {
		master(t, func(s *site) {
			s.bare = true
			s.force(true)
			s.after(2 * time.Second)
			s.others[vip.Addr()], s.idle[highMAC], s.replies[highMAC] = highMAC, true, reply
			s.claimed(false)
			s.after(2 * time.Second)
			s.wantConflict(yields, "198.51.100.100")
		})
	}
}

// TestStrangerAndPeer: if two machines serve, a search returns the one that is a node of the spec.
func TestStrangerAndPeer(t *testing.T) {
	s := &site{t: t, others: map[netip.Addr]string{vip.Addr(): device, vip6.Addr(): highMAC, peer: highMAC}, addrs: []netip.Prefix{own}}
	spec := state.InForce{Interface: "eth0", Own: []netip.Addr{own.Addr()}, Peers: []netip.Addr{peer}, Services: []netip.AddrPort{service}}
	if a := findRival(t.Context(), s, spec, []netip.Addr{vip.Addr(), vip6.Addr()}); a.mac != highMAC || a.stranger || !a.serves {
		t.Errorf("%+v", a)
	}
}

// TestEndpoints shows the destination and the source of a probe.
func TestEndpoints(t *testing.T) {
	parse := func(text string) netip.Addr { return netip.MustParseAddr(text) }
	spec := state.InForce{
		Interface: "eth0", VirtualIPs: []netip.Addr{vip.Addr(), vip6.Addr()}, Devices: []string{"", ""}, Services: []netip.AddrPort{netip.AddrPortFrom(vip6.Addr(), 443)},
	}
	for addr, want := range map[netip.Addr]string{vip6.Addr(): "[2001:db8::100]:443", vip.Addr(): "[2001:db8::100]:443"} {
		if got := endpointOf(spec, []netip.Addr{addr}); got.String() != want {
			t.Errorf("%v is asked at %v", addr, got)
		}
	}
	if got := endpointOf(state.InForce{}, []netip.Addr{vip.Addr()}); got.String() != "198.51.100.100:9" {
		t.Errorf("asked at %v", got)
	}
	var prefixes []netip.Prefix
	for _, text := range []string{"198.51.100.100/24", "198.51.100.10/24", "198.51.100.11/24", "203.0.113.1/24", "fe80::1/64", "2001:db8::11/64"} {
		prefixes = append(prefixes, netip.MustParsePrefix(text))
	}
	for _, test := range []struct {
		to, from string
		own      string
		prefixes []netip.Prefix
	}{
		{"198.51.100.100", "198.51.100.10", "", prefixes},
		{"198.51.100.100", "198.51.100.11", "198.51.100.11", prefixes},
		{"198.51.100.100", "198.51.100.10", "192.0.2.1", prefixes}, // the node's address is on another interface
		{"198.51.100.100", "192.0.2.1", "192.0.2.1", prefixes[3:]},
		{"198.51.100.100", "invalid IP", "", prefixes[3:]},
		{"2001:db8::100", "2001:db8::11", "192.0.2.1", prefixes},
		{"2001:db8::100", "fe80::1", "", prefixes[:5]},
	} {
		spec.Own = nil
		if test.own != "" {
			spec.Own = []netip.Addr{parse(test.own)}
		}
		interfaces := []host.Interface{{Name: "lo", Prefixes: prefixes[2:3]}, {Name: "eth0", Prefixes: test.prefixes}}
		if got := sourceFor(parse(test.to), spec, interfaces); got.String() != test.from {
			t.Errorf("%+v: from %v", test, got)
		}
	}
}

// TestHeldApart: a machine that accepts or refuses connections at a virtual IP holds it, and one that only answers ARP does
// not. Without an answer no probe is made. A holder in the virtual router that this host is to join does not keep it out.
func TestHeldApart(t *testing.T) {
	for name, test := range map[string]struct {
		set    func(*site)
		want   bool
		probes int
	}{
		"nobody":          {func(*site) {}, false, 0},
		"the peer serves": {func(s *site) { s.others[vip.Addr()] = highMAC }, true, 1},
		"the peer's HAProxy has ended": {func(s *site) {
			s.others[vip.Addr()], s.idle[highMAC], s.replies[highMAC] = highMAC, true, host.Refused
		}, true, 1},
		"a device that answers ARP": {func(s *site) { s.others[vip.Addr()], s.idle[device] = device, true }, false, 1},
		"a device before the peer, which refuses": {func(s *site) {
			s.others[vip.Addr()], s.idle[device], s.behind[vip.Addr()] = device, true, highMAC
			s.idle[highMAC], s.replies[highMAC] = true, host.Refused
		}, true, 2},
		"the peer has joined too": {func(s *site) { s.others[vip.Addr()], s.quiet = highMAC, false }, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			holding(t, func(s *site) {
				s.claimed(false) // ends the requests for gratuitous ARP after the start
				s.after(0)
				s.quiet = true
				test.set(s)
				spec := s.spec(true)
				s.Unlock()
				held, err := heldApart(t.Context(), s, spec, []netip.Prefix{own})
				s.Lock()
				if held != test.want || err != nil || s.probed != test.probes {
					t.Errorf("%t, %v, %d probes", held, err, s.probed)
				}
			})
		})
	}
}
