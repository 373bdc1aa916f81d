// Package patience distinguishes a silent program from one that is stalled together with this process.
package patience

import "time"

const (
	Hasty = 120 * time.Millisecond // a program that is silent this long, and neither runs nor waits for a core, is hung
	Tick  = 5 * time.Millisecond   // interval of the checks
)

// lateTimer is the delay of a timer of this process that is still normal.
const lateTimer = 20 * time.Millisecond

// Patience measures how long a program was silent while this process got its core on time. If all cores were busy, the
// silence says nothing about the program; so the measurement restarts after a timer that fired late.
type Patience struct {
	need        time.Duration
	since, last time.Time
}

// New starts the measurement at now. need is the required silence.
func New(now time.Time, need time.Duration) *Patience {
	return &Patience{need: need, since: now, last: now}
}

// Over is called at each tick. It says whether the silence was long enough.
func (p *Patience) Over(now time.Time) bool {
	if now.Sub(p.last) > Tick+lateTimer {
		p.since = now
	}
	p.last = now
	return now.Sub(p.since) >= p.need
}
