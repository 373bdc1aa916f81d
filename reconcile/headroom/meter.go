// Package headroom measures how close a pair is to a false takeover: how late the advertisements of the host with the
// virtual IPs arrive, and how late the scheduler runs this process. From an hour of these values it recommends an
// advertisement interval for the pair. The package is pure: it uses no network and no clock, and changes nothing.
package headroom

import (
	"net/netip"
	"time"
)

const (
	// Minutes is how many minutes a Meter remembers.
	Minutes = 60

	// hostLost is the silence beyond Router.Allowed after which a host counts as lost, not as late. Its next advertisement
	// ends no gap.
	hostLost = time.Second

	// yieldTime is the longest time from a false takeover to the report of the former MASTER's agent that it became BACKUP.
	yieldTime = 2 * time.Second

	// maxSenders is how many senders a Meter remembers. Normally one host advertises, and two for a moment in a failover.
	maxSenders = 8
)

// Router describes the virtual router of the spec in force.
type Router struct {
	Version  int           // of VRRP: 2 or 3
	Interval time.Duration // between two advertisements
	Allowed  time.Duration // the silence after which this host takes over (RFC 9568 §6.1, Active_Down_Interval)
}

// Meter records advertisements and lateness, and keeps the worst values of each of the last 60 minutes. Only one goroutine
// may use a Meter.
type Meter struct {
	router Router

	began   time.Time
	last    map[netip.Addr]time.Time // last advertisement of each sender that has not said goodbye
	minutes [Minutes]minute

	tookOver time.Time           // when this host took over last
	silent   map[netip.Addr]bool // the addresses of the former MASTER, if it fell silent before; none once this is judged
}

// minute holds the worst values of one minute.
type minute struct {
	number int // counts minutes since the meter began
	heard  bool
	gap    time.Duration // 0: none was measured
	gapAt  time.Time
	late   time.Duration
}

// New returns a meter that begins now.
func New(router Router, now time.Time) *Meter {
	return &Meter{router: router, began: now, last: map[netip.Addr]time.Time{}, silent: map[netip.Addr]bool{}}
}

// Hear records an advertisement that arrived at the given time. No gap is measured after a sender has resigned (priority 0),
// nor after a silence so long that the sender counts as lost.
func (m *Meter) Hear(from netip.Addr, priority uint8, at time.Time) {
	if m.silent[from] && at.Sub(m.tookOver) <= hostLost {
		m.wasLate()
	}
	last, known := m.last[from]
	if priority == 0 {
		delete(m.last, from)
		return
	}
	if !known && len(m.last) >= maxSenders { // any host on the link can send advertisements
		clear(m.last)
	}
	m.last[from] = at
	m.at(at).heard = true
	if gap := at.Sub(last); known && gap <= m.router.Allowed+hostLost {
		m.gap(gap, at)
	}
}

// TookOver records that this host became MASTER. The silence before it is a gap if the former MASTER proves not to be lost:
// it advertises again soon, or Yielded is called. The time after it is no gap, because the former MASTER becomes BACKUP once
// it receives this host's advertisements.
func (m *Meter) TookOver(at time.Time) {
	clear(m.silent)
	for from, last := range m.last {
		// After a shorter silence this host took over for another reason. A host that is silent for longer was lost before.
		if silence := at.Sub(last); silence >= m.router.Allowed*9/10 && silence <= m.router.Allowed+hostLost {
			m.silent[from] = true
		}
	}
	m.tookOver = at
	clear(m.last)
}

// Yielded records that another host, which was MASTER since the given time, has become BACKUP, so it may be silent from now
// on. If this host took over from it just before, it was late and not lost.
func (m *Meter) Yielded(since, at time.Time) {
	if since.Before(m.tookOver) && at.Sub(m.tookOver) <= yieldTime {
		m.wasLate()
	}
	clear(m.last)
}

// wasLate records the silence before this host's last takeover. keepalived took over once Allowed was over, and this process
// may have noticed it later.
func (m *Meter) wasLate() {
	if len(m.silent) > 0 {
		m.gap(m.router.Allowed, m.tookOver)
		clear(m.silent)
	}
}

// gap records a gap that ended at the given time.
func (m *Meter) gap(gap time.Duration, at time.Time) {
	if now := m.at(at); gap > now.gap {
		now.gap, now.gapAt = gap, at
	}
}

// Forget must be called if advertisements may have been missed. The next advertisement of each sender then ends no gap.
func (m *Meter) Forget() {
	clear(m.last)
	clear(m.silent)
}

// Late records by how much a timer of this process was late.
func (m *Meter) Late(late time.Duration, at time.Time) {
	now := m.at(at)
	now.late = max(now.late, late)
}

// at returns the minute that contains a time. Minutes count from the meter's beginning, so that a change of the host's
// clock moves no minute.
func (m *Meter) at(at time.Time) *minute {
	number := max(int(at.Sub(m.began)/time.Minute), 0)
	slot := &m.minutes[number%Minutes]
	if slot.number != number {
		*slot = minute{number: number}
	}
	return slot
}

// Record sums up the last hour.
func (m *Meter) Record(now time.Time) Record {
	r := Record{Written: now, Version: m.router.Version, Interval: Span(m.router.Interval), Allowed: Span(m.router.Allowed)}
	number := int(now.Sub(m.began) / time.Minute)
	for _, one := range m.minutes {
		if one.number <= number-Minutes {
			continue
		}
		if one.heard {
			r.Minutes++
		}
		if gap := Span(one.gap); gap > r.WorstGap {
			r.WorstGap, r.WorstGapAt = gap, one.gapAt
		}
		r.WorstLate = max(r.WorstLate, Span(one.late))
	}
	return r
}
