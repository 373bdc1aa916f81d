package failover

import "testing"

// TestEndSessions: what a move has left here is ended once another host holds the virtual IPs and no longer forwards, and
// not a moment before, whatever an earlier move waits for.
func TestEndSessions(t *testing.T) {
	holding(t, func(s *site) {
		s.hands = true
		s.force(true)
		for range 2 { // nobody else takes them: it waits for somebody
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
