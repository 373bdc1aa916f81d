package failover

import (
	"testing"
	"time"
)

// TestEndSessions: connections that a move has left on this host are ended once another host holds the virtual IPs and no
// longer forwards. They are not ended earlier, even if the search after an earlier move still runs, and not forgotten if the
// other host is found late, as on a host whose link is cut, or only after the end of drain --wait.
func TestEndSessions(t *testing.T) {
	holding(t, func(s *site) {
		s.hands = true
		s.force(true)
		for range 2 { // no other host takes over, so the search goes on
			s.hold(vip)
			s.after(sessionsLast)
			s.hold()
			s.after(sessionsLast + holderPause/2)
		}
		s.hold(vip)
		s.after(holderPause / 4)
		s.others[vip.Addr()] = highMAC
		s.hold()
		if s.after(sessionsLast - 1); s.ended > 0 {
			t.Error("ended while the other host forwards")
		}
		if s.after(holderPause); s.ended != 1 {
			t.Errorf("ended %d times, want once", s.ended)
		}
		s.waits = true
		s.hold(vip)
		s.after(holderPause)
		s.hold()
		if s.after(sessionsLast + 2*holderPause); s.ended != 1 {
			t.Error("ended while this host serves on what it has")
		}
		delete(s.others, vip.Addr())
		s.waits = false
		if s.after(time.Hour); s.ended != 1 {
			t.Error("ended while no other host is found")
		}
		s.others[vip.Addr()] = highMAC
		if s.after((longestPause + 1) * holderPause); s.ended != 2 {
			t.Errorf("the link is up again after an hour: ended %d times, want twice", s.ended)
		}
	})
}
