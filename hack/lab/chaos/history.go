package chaos

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// change is that a host took the virtual IP, or gave it up.
type change struct {
	at    time.Time
	host  string
	holds bool
}

// history is who held the virtual IP, as the kernels of the hosts told it.
type history struct {
	mutex   sync.Mutex
	changes []change
}

// watch follows the hosts until ctx ends.
func (h *history) watch(ctx context.Context, hosts []*lab.Host) (wait func()) {
	var all sync.WaitGroup
	for _, host := range hosts {
		all.Go(func() {
			host.WatchAddress(ctx, netip.MustParseAddr(pair.VIP), func(at time.Time, holds bool) {
				h.mutex.Lock()
				defer h.mutex.Unlock()
				h.changes = append(h.changes, change{at, host.Name(), holds})
			})
		})
	}
	return all.Wait
}

// span is a part of the history.
type span struct {
	none, two time.Duration // the longest time without a holder, and with more than one
	text      string        // the changes
}

// between is the part from one moment to another.
func (h *history) between(from, to time.Time) (s span) {
	h.mutex.Lock()
	changes := slices.Clone(h.changes)
	h.mutex.Unlock()
	slices.SortStableFunc(changes, func(a, b change) int { return a.at.Compare(b.at) })
	holders, since := map[string]bool{}, from
	count := func(until time.Time) {
		switch lasted := until.Sub(since); {
		case lasted <= 0:
		case len(holders) == 0:
			s.none = max(s.none, lasted)
		case len(holders) > 1:
			s.two = max(s.two, lasted)
		}
	}
	var texts []string
	for _, c := range changes {
		if c.at.After(to) {
			break
		}
		before := len(holders)
		was := holders[c.host]
		if was == c.holds {
			continue
		}
		// a change of one holder to two, or to none, begins another period
		if c.at.After(from) {
			count(c.at)
			texts = append(texts, fmt.Sprintf("%d ms %s %s", c.at.Sub(from).Milliseconds(), c.host, map[bool]string{true: "holds", false: "gives up"}[c.holds]))
		}
		if delete(holders, c.host); c.holds {
			holders[c.host] = true
		}
		if c.at.After(from) && len(holders) != before {
			since = c.at
		}
	}
	count(to)
	s.text = strings.Join(texts, ", ")
	return s
}
