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
	return &Meter{router: router, began: now, last: map[netip.Addr]time.Time{}}
}

// Hear records an advertisement that arrived at the given time. No gap is measured after a sender has resigned (priority 0),
// nor after a silence so long that the sender counts as lost.
func (m *Meter) Hear(from netip.Addr, priority uint8, at time.Time) {
	last, known := m.last[from]
	if priority == 0 {
		delete(m.last, from)
		return
	}
	if !known && len(m.last) >= maxSenders { // any host on the link can send advertisements
		clear(m.last)
	}
	m.last[from] = at
	now := m.at(at)
	now.heard = true
	if gap := at.Sub(last); known && gap <= m.router.Allowed+hostLost && gap > now.gap {
		now.gap, now.gapAt = gap, at
	}
}

// Forget must be called if advertisements may have been missed. The next advertisement of each sender then ends no gap.
func (m *Meter) Forget() { clear(m.last) }

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
