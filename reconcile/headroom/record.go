package headroom

import (
	"fmt"
	"math"
	"time"
)

// Record is what a Meter knows of the last hour, as the daemon leaves it in a file.
type Record struct {
	Written    time.Time `json:"written"`
	Interval   Span      `json:"interval"`            // between two advertisements, as the spec in force says
	Allowed    Span      `json:"allowed"`             // the silence after which this host takes over
	WorstGap   Span      `json:"worstGap,omitempty"`  // between two advertisements of one sender; 0 where none was heard
	WorstGapAt time.Time `json:"worstGapAt,omitzero"` // when it ended
	WorstLate  Span      `json:"worstLate"`           // of a timer of the agent
	Minutes    int       `json:"minutes"`             // in which advertisements were heard, 0 to 60
	Version    int       `json:"vrrpVersion"`         // 2 or 3
}

// Every is the longest time between two writings of a record; one that is three times as old is nobody's.
const Every = time.Minute

// Alive says whether a daemon keeps this record.
func (r Record) Alive(now time.Time) bool {
	return !r.Written.IsZero() && now.Sub(r.Written) <= 3*Every
}

// leastMinutes of data are needed for a recommendation.
const leastMinutes = 10

// intervals are what is recommended, from the shortest supported one to that of VRRP's default.
var intervals = []time.Duration{
	20 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, time.Second,
}

// Recommended is the shortest interval at which no takeover would come without cause if the advertisements were three
// times as late as they were at worst. It is 0 where too little was heard, and with VRRP version 2, which has whole seconds.
//
// A shorter interval than the present one is recommended only where this process was on time too: keepalived is
// real-time and the agent is not, so the agent's lateness is no reason for a longer one.
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

// shortest is the shortest interval i for which i + 3·late is no longer than the 3·i after which a host takes over. The
// skew comes on top of that.
func shortest(late time.Duration) time.Duration {
	for _, i := range intervals {
		if i+3*late <= 3*i {
			return i
		}
	}
	return intervals[len(intervals)-1]
}

// Narrow says whether the worst gap used up nearly all that is allowed. A single advertisement that is lost takes two
// thirds, which is no reason to worry.
func (r Record) Narrow() bool { return r.WorstGap > r.Allowed/10*8 }

// Span is a time of milliseconds: "300.8ms" in JSON.
type Span time.Duration

// Seconds is the time in seconds.
func (s Span) Seconds() float64 { return time.Duration(s).Seconds() }

// String is for people: "31 ms", or "0.4 ms".
func (s Span) String() string {
	ms := float64(s) / float64(time.Millisecond)
	if ms < 10 {
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", math.Round(ms))
}

// MarshalText writes it as Go does, in tenths of a millisecond.
func (s Span) MarshalText() ([]byte, error) {
	return []byte(time.Duration(s).Round(100 * time.Microsecond).String()), nil
}

// UnmarshalText reads what MarshalText wrote.
func (s *Span) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	*s = Span(d)
	return err
}
