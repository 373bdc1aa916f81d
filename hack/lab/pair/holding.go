package pair

import (
	"fmt"
	"strings"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

// Holding lists the holders of the virtual IP over a time, as consecutive periods.
type Holding []Period

// A Period is a time in which the holders of the virtual IP did not change: from the first to the last look that saw
// them, counted from the beginning of the watch.
type Period struct {
	From, To time.Duration
	Holders  []string // names of hosts
}

// lookEvery is the time between two looks at the hosts: shorter changes may be missed.
const lookEvery = 2 * time.Millisecond

// Watch looks at the hosts until stop is called.
func Watch(hosts ...*lab.Host) (stop func() Holding) {
	return watch(func() (names []string) {
		for _, h := range hosts {
			if Holds(h) {
				names = append(names, h.Name())
			}
		}
		return names
	})
}

func watch(look func() []string) (stop func() Holding) {
	end, result := make(chan struct{}), make(chan Holding)
	go func() {
		var seen Holding
		for start := time.Now(); ; {
			seen = seen.add(time.Since(start), look())
			select {
			case <-end:
				result <- seen
				return
			case <-time.After(lookEvery):
			}
		}
	}()
	return func() Holding { close(end); return <-result }
}

// add adds one look.
func (h Holding) add(at time.Duration, holders []string) Holding {
	if n := len(h); n > 0 && strings.Join(h[n-1].Holders, " ") == strings.Join(holders, " ") {
		h[n-1].To = at
		return h
	}
	return append(h, Period{at, at, holders})
}

// Longest returns the longest uninterrupted time with this number of holders; 0 if a single look saw it, because the
// hosts are looked at one after the other.
func (h Holding) Longest(holders int) (longest time.Duration) {
	for _, p := range h {
		if len(p.Holders) == holders {
			longest = max(longest, p.To-p.From)
		}
	}
	return longest
}

// Total returns the total time with this number of holders.
func (h Holding) Total(holders int) (total time.Duration) {
	for _, p := range h {
		if len(p.Holders) == holders {
			total += p.To - p.From
		}
	}
	return total
}

// Last returns when there was this number of holders for the last time; 0 if there never was.
func (h Holding) Last(holders int) (last time.Duration) {
	for _, p := range h {
		if len(p.Holders) == holders {
			last = p.To
		}
	}
	return last
}

// String lists the changes, as "0 ms: lb1, 12 ms: lb1 lb2, 15 ms: lb2".
func (h Holding) String() string {
	var changes []string
	for _, p := range h {
		changes = append(changes, p.String())
	}
	return strings.Join(changes, ", ")
}

// String returns the start of the period and its holders.
func (p Period) String() string {
	holders := strings.Join(p.Holders, " ")
	if holders == "" {
		holders = "none"
	}
	return fmt.Sprintf("%d ms: %s", p.From.Milliseconds(), holders)
}
