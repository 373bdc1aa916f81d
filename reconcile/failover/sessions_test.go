package failover

import "testing"

// TestEndSessions: connections that a move has left on this host are ended once another host holds the virtual IPs and no
// longer forwards. They are not ended earlier, even if the search after an earlier move still runs.
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
	})
}
