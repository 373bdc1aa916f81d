package daemon

import (
	"time"

	"rlb.dev/rlb-agent/reconcile/backoff"
)

// repairs holds the repair back-off of each step. If another program undoes each repair at once, the host flaps between
// two states: each further repair of the same step waits longer.
type repairs map[string]*repair

type repair struct {
	backoff.Backoff
	last time.Time
}

// newRepair counts a first repair: the second one need not wait.
func newRepair() *repair {
	return &repair{Backoff: backoff.Backoff{First: time.Second, Most: 5 * time.Minute, Quiet: time.Minute}}
}

// over reports whether the next repair of this step counts as a first one.
func (r *repair) over(now time.Time) bool { return r.Over(now) && now.Sub(r.last) > r.Quiet }

// pause returns how long to wait before these steps: the shortest of their pauses.
func (r repairs) pause(steps []string) time.Duration {
	var least time.Duration
	for i, step := range steps {
		left := time.Duration(0)
		if one := r[step]; one != nil {
			left = one.Left()
		}
		if i == 0 || left < least {
			least = left
		}
	}
	return least
}

// done records that these steps were done now.
func (r repairs) done(steps []string) {
	now := time.Now()
	for step, one := range r {
		if one.over(now) {
			delete(r, step)
		}
	}
	counted := map[string]bool{}
	for _, step := range steps {
		if counted[step] {
			continue
		}
		counted[step] = true
		if one := r[step]; one != nil {
			one.Next()
		} else {
			r[step] = newRepair()
		}
		r[step].last = now
	}
}
