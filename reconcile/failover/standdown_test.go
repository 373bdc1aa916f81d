package failover

import (
	"errors"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
)

// yielding runs a test with a former master that stands down.
func yielding(t *testing.T, do func(*site)) {
	master(t, func(s *site) {
		s.meetAgain()
		s.after(50 * time.Millisecond)
		do(s)
	})
}

// meetAgain makes a conflict that this host loses.
func (s *site) meetAgain() {
	s.others[vip.Addr()], s.passes = highMAC, false
	s.role = host.RoleMaster
	s.hold(vip)
	s.claimed(false)
	s.after(600 * time.Millisecond)
	s.wantConflict(true, "holds")
	s.role = host.RoleFault
	s.hold()
}

// back checks that the stand-down has ended, and makes keepalived BACKUP.
func (s *site) back() {
	s.t.Helper()
	s.wantConflict(false, "")
	s.role = host.RoleBackup
}

// TestStandsDownWithoutAdvertisements: the stand-down does not end while no advertisements of the holder arrive.
func TestStandsDownWithoutAdvertisements(t *testing.T) {
	yielding(t, func(s *site) {
		before := len(s.conflicts)
		s.after(24 * time.Hour)
		if s.wantConflict(true, "holds"); len(s.conflicts) != before || s.looks < 1000 {
			t.Errorf("conflicts %+v, listened %d times", s.conflicts, s.looks)
		}
	})
	yielding(t, func(s *site) { // nor if listening fails
		s.passes, s.advertsErr = false, errors.New("not permitted")
		s.after(time.Hour)
		if s.wantConflict(true, "holds"); strings.Count(s.log.String(), "cannot monitor the virtual IPs: not permitted") != 1 {
			t.Error(s.log.String())
		}
	})
}

// TestPasses: the stand-down ends when advertisements of the holder arrive, each time.
func TestPasses(t *testing.T) {
	yielding(t, func(s *site) {
		for range 3 {
			s.after(time.Minute)
			s.wantConflict(true, "holds")
			s.passes = true
			s.after(2 * time.Second)
			s.back()
			if !strings.Contains(s.log.String(), "advertisements of the other host get through again: this host no longer stands down") {
				t.Error(s.log.String())
			}
			looks := s.looks
			s.after(3 * time.Second)
			if s.looks != looks {
				t.Errorf("listened %d times more", s.looks-looks)
			}
			s.meetAgain()
		}
	})
}

// TestPassesAtOnce: a host that hears the other as soon as the other has taken over becomes its backup within the time of a
// takeover.
func TestPassesAtOnce(t *testing.T) {
	yielding(t, func(s *site) {
		s.passes = true
		s.after(takeover)
		s.back()
	})
}

// TestPassesInVain: if each end of the stand-down leads to the next conflict at once, advertisements end the stand-down less
// and less often.
func TestPassesInVain(t *testing.T) {
	yielding(t, func(s *site) {
		conflicts := 0
		for began := time.Now(); time.Since(began) < time.Hour; {
			s.passes = true
			if s.after(100 * time.Millisecond); !s.conflicts[len(s.conflicts)-1].standDown {
				s.after(takeover)
				s.meetAgain()
				conflicts++
			}
		}
		if conflicts < 14 || conflicts > 20 { // after 4 s, 8 s …, and finally one every five minutes
			t.Errorf("%d conflicts in an hour", conflicts)
		}
		delete(s.others, vip.Addr())
		s.after(3 * time.Second)
		s.wantConflict(false, "")
	})
}

// TestNeeded: the stand-down ends soon after no host holds the virtual IPs any more. A holder that is none of the spec's nodes
// does not prevent that.
func TestNeeded(t *testing.T) {
	for _, stranger := range []bool{false, true} {
		yielding(t, func(s *site) {
			s.after(2 * time.Second)
			if delete(s.others, vip.Addr()); stranger {
				s.others[vip6.Addr()] = lowMAC
			}
			s.after(time.Second) // one poll without a holder is not enough
			s.wantConflict(true, "holds")
			s.after(2 * time.Second)
			s.wantConflict(false, "")
		})
	}
}
