// Package history records which hosts held the virtual IP when, and for how long none or more than one did. It judges
// the hosts of the lab (hack/lab/chaos) and those of the model (hack/model) in the same way.
package history

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Change is an event: a host took the virtual IP, or gave it up.
type Change struct {
	At    time.Time
	Host  string
	Holds bool
}

// History holds all changes, in any order. In the zero value no host holds the virtual IP.
type History struct {
	mutex   sync.Mutex
	changes []Change
}

// Add adds a change. A change to the same state has no effect.
func (h *History) Add(c Change) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.changes = append(h.changes, c)
}

// Span is a part of a history.
type Span struct {
	None, Two time.Duration // the longest time without a holder, and with more than one
	Text      string        // the changes; "" if there were none
}

// Between returns the part between two times.
func (h *History) Between(from, to time.Time) (s Span) {
	h.mutex.Lock()
	changes := slices.Clone(h.changes)
	h.mutex.Unlock()
	slices.SortStableFunc(changes, func(a, b Change) int { return a.At.Compare(b.At) })
	holders, since := map[string]bool{}, from
	count := func(until time.Time) {
		switch lasted := until.Sub(since); {
		case lasted <= 0:
		case len(holders) == 0:
			s.None = max(s.None, lasted)
		case len(holders) > 1:
			s.Two = max(s.Two, lasted)
		}
	}
	var texts []string
	for _, c := range changes {
		if c.At.After(to) {
			break
		}
		before := len(holders)
		was := holders[c.Host]
		if was == c.Holds {
			continue
		}
		// a change from one holder to two, or to none, begins another period
		if c.At.After(from) {
			count(c.At)
			texts = append(texts, fmt.Sprintf("%d ms %s %s", c.At.Sub(from).Milliseconds(), c.Host, map[bool]string{true: "holds", false: "gives up"}[c.Holds]))
		}
		if delete(holders, c.Host); c.Holds {
			holders[c.Host] = true
		}
		if c.At.After(from) && len(holders) != before {
			since = c.At
		}
	}
	count(to)
	s.Text = strings.Join(texts, ", ")
	return s
}
