// Package headroom measures how near a pair is to a takeover without cause: how late the advertisements of the host that
// holds the virtual IPs come, and how late this process gets its core. From an hour of that it says which advertisement
// interval the pair can bear. It is pure: it knows no network and no clock, and changes nothing.
package headroom

import (
	"net/netip"
	"time"
)

const (
	// Minutes is how many minutes are remembered.
	Minutes = 60

	// hostLost is how much longer than allowed a host is silent that was lost, not late. Its return is no gap.
	hostLost = time.Second

	// maxSenders is how many advertisers are told apart: one advertises, and for a moment two in a failover.
	maxSenders = 8
)

// Router is what the spec in force says of the virtual router.
type Router struct {
	Version  int           // of VRRP: 2 or 3
	Interval time.Duration // between two advertisements
	Allowed  time.Duration // the silence after which this host takes over (RFC 9568 §6.1, Active_Down_Interval)
}

// Meter takes advertisements and lateness in, and keeps the worst of each of the last 60 minutes. It is for one goroutine.
type Meter struct {
	router Router

	began   time.Time
	last    map[netip.Addr]time.Time // last advertisement of each sender that has not said goodbye
	minutes [Minutes]minute
}

// minute is the worst of one minute.
type minute struct {
	number int // of the minute since the meter began
	heard  bool
	gap    time.Duration // 0: none was measured
	gapAt  time.Time
	late   time.Duration
}

// New is a meter that begins now.
func New(router Router, now time.Time) *Meter {
	return &Meter{router: router, began: now, last: map[netip.Addr]time.Time{}}
}

// Hear takes an advertisement in, which came at that time. A sender that says goodbye (priority 0) is not late afterwards,
// and neither is one that was silent for so long that it was lost.
func (m *Meter) Hear(from netip.Addr, priority uint8, at time.Time) {
	last, known := m.last[from]
	if priority == 0 {
		delete(m.last, from)
		return
	}
	if !known && len(m.last) >= maxSenders { // strangers: anybody can send anything
		clear(m.last)
	}
	m.last[from] = at
	now := m.at(at)
	now.heard = true
	if gap := at.Sub(last); known && gap <= m.router.Allowed+hostLost && gap > now.gap {
		now.gap, now.gapAt = gap, at
	}
}

// Forget is called when advertisements may have come that were not taken in: what comes next ends no gap.
func (m *Meter) Forget() { clear(m.last) }

// Late takes in by how much a timer of this process was late.
func (m *Meter) Late(late time.Duration, at time.Time) {
	now := m.at(at)
	now.late = max(now.late, late)
}

// at is the minute of a time. It counts from the meter's beginning, so that a clock that is set moves nothing.
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
