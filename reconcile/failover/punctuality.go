package failover

import "time"

const (
	mostLate   = 50 * time.Millisecond // that a timer may come late
	lateMemory = 10 * time.Second      // after one that was later, in which nobody is judged in haste
)

// punctuality is whether this process gets its core on time. Where its own timers are late, the silence of others proves
// less, and it has the usual patience. The zero value is one that was never late.
type punctuality struct{ late time.Time } // the last time

// note is called with a timer that was due then and has come now.
func (p *punctuality) note(due, now time.Time) {
	if !due.IsZero() && now.Sub(due) > mostLate {
		p.late = now
	}
}

func (p *punctuality) punctual(now time.Time) bool {
	return p.late.IsZero() || now.Sub(p.late) > lateMemory
}
