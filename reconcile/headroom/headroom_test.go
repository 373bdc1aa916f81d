package headroom

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"
)

var (
	lb1 = netip.MustParseAddr("198.51.100.11")
	lb2 = netip.MustParseAddr("198.51.100.12")
)

const (
	ms       = time.Millisecond
	interval = 20 * ms
	allowed  = 60*ms + 156*time.Microsecond
)

// heard returns a meter that has heard advertisements of lb1, one after each step of time. A negative step stands for an
// advertisement with priority 0.
func heard(began time.Time, steps ...time.Duration) (*Meter, time.Time) {
	m, at := New(Router{3, interval, allowed}, began), began
	for _, step := range steps {
		priority := uint8(254)
		if step < 0 {
			priority, step = 0, -step
		}
		at = at.Add(step)
		m.Hear(lb1, priority, at)
	}
	return m, at
}

func TestGaps(t *testing.T) {
	began := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name  string
		steps []time.Duration
		want  time.Duration
	}{
		{"nothing", nil, 0},
		{"one alone", []time.Duration{interval}, 0},
		{"on time", []time.Duration{interval, interval, interval}, interval},
		{"late once", []time.Duration{interval, interval, 31 * ms, interval}, 31 * ms},
		{"longer than allowed, and it goes on", []time.Duration{interval, interval, 350 * ms, interval}, 350 * ms},
		{"a goodbye, and it comes back", []time.Duration{interval, interval, -interval, 300 * ms, interval}, interval},
		{"a host that was lost comes back", []time.Duration{interval, interval, 5 * time.Second, interval}, interval},
	} {
		m, now := heard(began, test.steps...)
		if got := m.Record(now).WorstGap; got != Span(test.want) {
			t.Errorf("%s: %v, not %v", test.name, got, test.want)
		}
	}
}

// TestNoGap: a failover is no gap, because the meter measures each sender separately. After Forget, advertisements that
// were not received make no gap either.
func TestNoGap(t *testing.T) {
	m, at := heard(time.Unix(0, 0), interval, interval, interval)
	for _, step := range []time.Duration{50 * ms, interval, interval} {
		at = at.Add(step)
		m.Hear(lb2, 254, at)
	}
	if got := m.Record(at).WorstGap; got != Span(interval) {
		t.Errorf("after a failover: %v", got)
	}
	m.Forget()
	at = at.Add(45 * ms)
	m.Hear(lb2, 254, at)
	if got := m.Record(at).WorstGap; got != Span(interval) {
		t.Errorf("after advertisements were dropped: %v", got)
	}
	for i := range 100 { // unknown senders must not use up memory
		m.Hear(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), 254, at)
	}
	if len(m.last) > maxSenders {
		t.Errorf("%d senders are remembered", len(m.last))
	}
}

// TestTakeover: the silence before a takeover is a gap if the former MASTER was late and not lost.
func TestTakeover(t *testing.T) {
	began := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	lb1v6 := netip.MustParseAddr("fe80::11")
	const late = 20 * ms // the process notices a takeover late
	for _, test := range []struct {
		name   string
		before func(m *Meter, last time.Time)
		silent time.Duration
		then   func(m *Meter, took time.Time)
		want   time.Duration
	}{
		{"it is lost", nil, allowed + late, nil, interval},
		{"it is lost, and comes back", nil, allowed, func(m *Meter, took time.Time) { m.Hear(lb1, 254, took.Add(5*time.Second)) }, interval},
		{"it advertises again", nil, allowed + late, func(m *Meter, took time.Time) { m.Hear(lb1, 254, took.Add(4*ms)) }, allowed},
		{"it says goodbye late", nil, allowed, func(m *Meter, took time.Time) { m.Hear(lb1, 0, took.Add(4*ms)) }, allowed},
		{"a third host advertises", nil, allowed, func(m *Meter, took time.Time) { m.Hear(lb2, 254, took.Add(4*ms)) }, interval},
		{"it reports that it yielded", nil, allowed + late, func(m *Meter, took time.Time) { m.Yielded(began, took.Add(900*ms)) }, allowed},
		{"since when it was MASTER is unknown", nil, allowed, func(m *Meter, took time.Time) { m.Yielded(time.Time{}, took.Add(900*ms)) }, allowed},
		{"it yields, and takes over a second later", nil, allowed, func(m *Meter, took time.Time) {
			m.Hear(lb1, 254, took.Add(4*ms))
			m.Yielded(began, took.Add(300*ms))
			m.Hear(lb1, 254, took.Add(1050*ms))
		}, allowed},
		{"it yields at the end of a partition", nil, allowed, func(m *Meter, took time.Time) { m.Yielded(began, took.Add(2100*ms)) }, interval},
		{"a third host took over too, and yields", nil, allowed, func(m *Meter, took time.Time) { m.Yielded(took.Add(ms), took.Add(900*ms)) }, interval},
		{"nothing was heard before a second takeover", nil, allowed, func(m *Meter, took time.Time) {
			m.TookOver(took.Add(time.Minute))
			m.Yielded(began, took.Add(time.Minute))
		}, interval},
		{"it said goodbye", func(m *Meter, last time.Time) { m.Hear(lb1, 0, last.Add(interval)) }, allowed, func(m *Meter, took time.Time) {
			m.Yielded(began, took.Add(900*ms))
		}, interval},
		{"advertisements were lost here", nil, allowed, func(m *Meter, took time.Time) { m.Forget(); m.Yielded(began, took.Add(900*ms)) }, interval},
		{"this host has the higher priority", nil, interval / 2, func(m *Meter, took time.Time) { m.Yielded(began, took.Add(900*ms)) }, interval},
		{"a third host was lost ten minutes ago", func(m *Meter, last time.Time) {
			m.Hear(lb2, 254, last.Add(10*time.Minute-interval))
			m.Hear(lb2, 0, last.Add(10*time.Minute))
		}, 10*time.Minute + allowed, func(m *Meter, took time.Time) { m.Yielded(began, took.Add(900*ms)) }, interval},
		{"both families, and the later one speaks", func(m *Meter, last time.Time) { m.Hear(lb1v6, 254, last.Add(3*ms)) }, allowed, func(m *Meter, took time.Time) {
			m.Hear(lb1v6, 254, took.Add(4*ms))
		}, allowed},
	} {
		m, last := heard(began, interval, interval, interval)
		if test.before != nil {
			test.before(m, last)
		}
		took := last.Add(test.silent)
		m.TookOver(took)
		if test.then != nil {
			test.then(m, took)
		}
		if got := m.Record(took.Add(2 * time.Second)).WorstGap; got != Span(test.want) {
			t.Errorf("%s: %v, not %v", test.name, got, test.want)
		}
	}
}

// TestHour: values from the last hour count, older ones do not.
func TestHour(t *testing.T) {
	m, at := heard(time.Unix(0, 0), interval, 45*ms)
	m.Late(7*ms, at)
	worst := at
	for at.Before(worst.Add(58 * time.Minute)) {
		at = at.Add(interval)
		m.Hear(lb1, 254, at)
	}
	if r := m.Record(at); r.WorstGap != Span(45*ms) || !r.WorstGapAt.Equal(worst) || r.WorstLate != Span(7*ms) || r.Minutes != 59 {
		t.Errorf("within the hour: %+v", r)
	}
	for at.Before(worst.Add(61 * time.Minute)) {
		at = at.Add(interval)
		m.Hear(lb1, 254, at)
	}
	if r := m.Record(at); r.WorstGap != Span(interval) || r.WorstLate != 0 || r.Minutes != Minutes {
		t.Errorf("after it: %+v", r)
	}
	at = at.Add(2 * time.Hour) // nothing is heard meanwhile, because this host advertises itself
	m.Late(3*ms, at)
	if r := m.Record(at); r.WorstGap != 0 || !r.WorstGapAt.IsZero() || r.WorstLate != Span(3*ms) || r.Minutes != 0 {
		t.Errorf("when nobody advertised for an hour: %+v", r)
	}
}

func TestRecommended(t *testing.T) {
	for _, test := range []struct {
		name                string
		interval, gap, late time.Duration
		minutes, version    int
		want                time.Duration
	}{
		{"too little data", 100 * ms, 101 * ms, 0, leastMinutes - 1, 3, 0},
		{"nothing heard", 100 * ms, 0, ms, 0, 3, 0},
		{"version 2 has whole seconds", time.Second, 1001 * ms, 0, 60, 2, 0},
		{"on time", 100 * ms, 101 * ms, ms, 60, 3, 20 * ms},
		{"late by 13 ms, which may treble", 20 * ms, 33 * ms, ms, 60, 3, 20 * ms},
		{"late by 14 ms", 20 * ms, 34 * ms, ms, 60, 3, 50 * ms},
		{"late by 40 ms", 20 * ms, 60 * ms, ms, 60, 3, 100 * ms},
		{"the agent is late: not shorter", 100 * ms, 101 * ms, 90 * ms, 60, 3, 100 * ms},
		{"the agent is late: no reason for longer", 20 * ms, 21 * ms, 90 * ms, 60, 3, 20 * ms},
		{"the agent is a little late", 100 * ms, 101 * ms, 30 * ms, 60, 3, 50 * ms},
		{"hopeless", 20 * ms, 900 * ms, ms, 60, 3, time.Second},
	} {
		r := Record{Interval: Span(test.interval), WorstGap: Span(test.gap), WorstLate: Span(test.late), Minutes: test.minutes, Version: test.version}
		if got := r.Recommended(); got != Span(test.want) {
			t.Errorf("%s: %v, not %v", test.name, got, test.want)
		}
	}
}

func TestRecord(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	r := Record{Written: now, Interval: Span(interval), Allowed: Span(allowed), WorstGap: Span(48 * ms), WorstLate: Span(420 * time.Microsecond), Minutes: 3, Version: 3}
	data, err := json.Marshal(r)
	if want := `{"written":"2026-07-01T12:00:00Z","interval":"20ms","allowed":"60.2ms","worstGap":"48ms","worstLate":"400µs","minutes":3,"vrrpVersion":3}`; err != nil || string(data) != want {
		t.Errorf("%s, %v", data, err)
	}
	var back Record
	if err := json.Unmarshal(data, &back); err != nil || back.WorstGap != r.WorstGap {
		t.Errorf("%+v, %v", back, err)
	}
	if !r.Alive(now.Add(3*Every)) || r.Alive(now.Add(3*Every+1)) || (Record{}).Alive(now) {
		t.Error("a record lives for three times its period, and an empty one never")
	}
	if r.Narrow() {
		t.Error("48 of 60 ms is narrow")
	}
	if r.WorstGap = Span(49 * ms); !r.Narrow() {
		t.Error("49 of 60 ms is not narrow")
	}
	if got := r.Allowed.String() + ", " + r.WorstLate.String(); got != "60 ms, 0.4 ms" {
		t.Error(got)
	}
}
