// Package patience tells a program that is silent from one that is kept waiting, together with this process.
package patience

import "time"

const (
	Hasty = 120 * time.Millisecond // of silence, after which what neither runs nor waits for a core hangs
	Tick  = 5 * time.Millisecond   // between two looks meanwhile
)

// lateTimer is by how much a timer of this process may be late without meaning anything.
const lateTimer = 20 * time.Millisecond

// Patience measures how long something was silent while this process got its core on time: that a program did not answer
// while all cores were busy says nothing of it. After a timer that came late it begins anew.
type Patience struct {
	need        time.Duration
	since, last time.Time
}

// New begins at now, and needs so long a silence.
func New(now time.Time, need time.Duration) *Patience {
	return &Patience{need: need, since: now, last: now}
}

// Over is called at each tick, and says whether the silence was long enough.
func (p *Patience) Over(now time.Time) bool {
	if now.Sub(p.last) > Tick+lateTimer {
		p.since = now
	}
	p.last = now
	return now.Sub(p.since) >= p.need
}
