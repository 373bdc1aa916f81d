package daemon

import (
	"time"

	"rlb.dev/rlb-agent/reconcile/backoff"
)

// repairs is the back-off of repairs, by what they do. Who repairs at once what another program changes at once keeps the
// host from either state, and wears it out: each further repair of the same thing waits longer.
type repairs map[string]*repair

type repair struct {
	backoff.Backoff
	last time.Time
}

// newRepair is a first repair: the second one need not wait.
func newRepair() *repair {
	return &repair{Backoff: backoff.Backoff{First: time.Second, Most: 5 * time.Minute, Quiet: time.Minute}}
}

// over says that a repair of the same thing would be a first one again.
func (r *repair) over(now time.Time) bool { return r.Over(now) && now.Sub(r.last) > r.Quiet }

// pause is how long to wait before these steps are done: one that is due does not wait for the others.
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

// done notes that these steps were done now.
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
