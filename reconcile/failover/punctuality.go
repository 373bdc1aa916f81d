package failover

import "time"

const (
	mostLate   = 50 * time.Millisecond // by how much a timer may be late
	lateMemory = 10 * time.Second      // how long no probe is made in haste after a later timer
)

// punctuality records whether the kernel runs this process on time. If this process's own timers are late, a missing answer
// of another process proves less, and the usual timeouts apply. The zero value has no late timers.
type punctuality struct{ late time.Time } // when a timer was last late

// note records a timer that was due at the first time and fired at the second.
func (p *punctuality) note(due, now time.Time) {
	if !due.IsZero() && now.Sub(due) > mostLate {
		p.late = now
	}
}

func (p *punctuality) punctual(now time.Time) bool {
	return p.late.IsZero() || now.Sub(p.late) > lateMemory
}
