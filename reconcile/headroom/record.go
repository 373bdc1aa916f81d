package headroom

import (
	"fmt"
	"math"
	"time"
)

// Record summarizes the last hour of a Meter. The daemon writes it to a file.
type Record struct {
	Written    time.Time `json:"written"`
	Interval   Span      `json:"interval"`            // between two advertisements, from the spec in force
	Allowed    Span      `json:"allowed"`             // the silence after which this host takes over
	WorstGap   Span      `json:"worstGap,omitempty"`  // between two advertisements of one sender; 0 if none was measured
	WorstGapAt time.Time `json:"worstGapAt,omitzero"` // when the worst gap ended
	WorstLate  Span      `json:"worstLate"`           // of a timer of the agent
	Minutes    int       `json:"minutes"`             // minutes with at least one advertisement, 0 to 60
	Version    int       `json:"vrrpVersion"`         // 2 or 3
}

// Every is the longest time between two writes of a record. A record older than three times Every is stale.
const Every = time.Minute

// Alive says whether a running daemon keeps this record up to date.
func (r Record) Alive(now time.Time) bool {
	return !r.Written.IsZero() && now.Sub(r.Written) <= 3*Every
}

// leastMinutes is how many minutes with advertisements a recommendation needs.
const leastMinutes = 10

// intervals are the candidates for a recommendation, from the shortest supported one to the default of VRRP.
var intervals = []time.Duration{
	20 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, time.Second,
}

// Recommended returns the shortest interval at which no false takeover would happen even if advertisements were three times
// as late as the latest one so far. It returns 0 if there is too little data, and for VRRP version 2, which has whole
// seconds only.
//
// An interval shorter than the current one is recommended only if this process was on time too. The agent's lateness is
// no reason for a longer interval, because keepalived runs with real-time priority and the agent does not.
func (r Record) Recommended() Span {
	if r.Minutes < leastMinutes || r.WorstGap == 0 || r.Version != 3 {
		return 0
	}
	late := max(r.WorstGap-r.Interval, 0)
	fits := shortest(time.Duration(late))
	if fits < time.Duration(r.Interval) {
		fits = min(shortest(time.Duration(max(late, r.WorstLate))), time.Duration(r.Interval))
	}
	return Span(fits)
}

// shortest returns the shortest interval i for which i + 3·late is at most 3·i. A host takes over after 3·i plus the skew
// time, so the skew time is an extra margin.
func shortest(late time.Duration) time.Duration {
	for _, i := range intervals {
		if i+3*late <= 3*i {
			return i
		}
	}
	return intervals[len(intervals)-1]
}

// Narrow says whether the worst gap was longer than 80 % of the allowed silence. A single lost advertisement makes a gap of
// two thirds, which is harmless.
func (r Record) Narrow() bool { return r.WorstGap > r.Allowed/10*8 }

// Span is a duration of some milliseconds, in JSON a text such as "300.8ms".
type Span time.Duration

// Seconds returns the duration in seconds.
func (s Span) Seconds() float64 { return time.Duration(s).Seconds() }

// String returns a text for people: "31 ms", or "0.4 ms" below 10 ms.
func (s Span) String() string {
	ms := float64(s) / float64(time.Millisecond)
	if ms < 10 {
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", math.Round(ms))
}

// MarshalText writes the duration as time.Duration does, rounded to tenths of a millisecond.
func (s Span) MarshalText() ([]byte, error) {
	return []byte(time.Duration(s).Round(100 * time.Microsecond).String()), nil
}

// UnmarshalText reads any text that time.ParseDuration accepts.
func (s *Span) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	*s = Span(d)
	return err
}
