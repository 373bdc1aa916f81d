package pair

import (
	"fmt"
	"strings"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

// Holding is who held the virtual IP over a while, period after period.
type Holding []Period

// A Period is a time in which the holders of the virtual IP did not change, since the watch began: from the first to the
// last look that saw them.
type Period struct {
	From, To time.Duration
	Holders  []string // names of hosts
}

// lookEvery is the time between two looks at the hosts: what is shorter may be missed.
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

// add takes one look into account.
func (h Holding) add(at time.Duration, holders []string) Holding {
	if n := len(h); n > 0 && strings.Join(h[n-1].Holders, " ") == strings.Join(holders, " ") {
		h[n-1].To = at
		return h
	}
	return append(h, Period{at, at, holders})
}

// Longest is the longest time without a break that the virtual IP had so many holders; 0 if it was seen once only, for
// the hosts are looked at one after the other.
func (h Holding) Longest(holders int) (longest time.Duration) {
	for _, p := range h {
		if len(p.Holders) == holders {
			longest = max(longest, p.To-p.From)
		}
	}
	return longest
}

// Total is how long in all the virtual IP had so many holders.
func (h Holding) Total(holders int) (total time.Duration) {
	for _, p := range h {
		if len(p.Holders) == holders {
			total += p.To - p.From
		}
	}
	return total
}

// Last is when the virtual IP had so many holders for the last time; 0 if it never had.
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

// String is the begin of the period and its holders.
func (p Period) String() string {
	holders := strings.Join(p.Holders, " ")
	if holders == "" {
		holders = "none"
	}
	return fmt.Sprintf("%d ms: %s", p.From.Milliseconds(), holders)
}
