package debian

import "time"

const (
	hastyPatience = 120 * time.Millisecond // of silence, after which what neither runs nor waits for a core hangs
	patienceTick  = 5 * time.Millisecond   // between two looks meanwhile
	lateTimer     = 20 * time.Millisecond  // by which a timer of this process may be late without meaning anything
)

// patience measures how long something was silent while this process got its core on time: that a program did not answer
// while all cores were busy says nothing of it. After a timer that came late it begins anew.
type patience struct {
	need        time.Duration
	since, last time.Time
	late        bool // a timer was, since the beginning
}

func newPatience(now time.Time, need time.Duration) *patience {
	return &patience{need: need, since: now, last: now}
}

// over is called at each tick, and says whether the silence was long enough.
func (p *patience) over(now time.Time) bool {
	if now.Sub(p.last) > patienceTick+lateTimer {
		p.since, p.late = now, true
	}
	p.last = now
	return now.Sub(p.since) >= p.need
}
