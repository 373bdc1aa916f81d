package main

import "time"

const (
	firstTruce = time.Second     // pause after a thing had to be repaired a second time; it doubles each time
	lastTruce  = 5 * time.Minute // longest pause
	peaceTime  = time.Minute     // after so long, and twice the last pause, a thing is no longer fought over
)

// fights are the repairs that were made lately. Who repairs at once what somebody else changes at once keeps the host
// from either state, and wears it out: each further repair of the same thing waits longer.
type fights map[string]fight

type fight struct {
	rounds int
	last   time.Time
}

// truce is the pause before the next round.
func (f fight) truce() time.Duration {
	if f.rounds < 2 {
		return 0
	}
	return min(firstTruce<<min(f.rounds-2, 20), lastTruce)
}

func (f fight) over(now time.Time) bool { return now.Sub(f.last) > peaceTime+2*f.truce() }

// pause is how long to wait before these steps are done: one that is not fought over does not wait for the others.
func (f fights) pause(steps []string, now time.Time) time.Duration {
	pause := lastTruce
	for _, step := range steps {
		one := f[step]
		pause = min(pause, max(0, one.last.Add(one.truce()).Sub(now)))
	}
	return pause
}

// repaired counts one more round.
func (f *fights) repaired(steps []string, now time.Time) {
	if *f == nil {
		*f = fights{}
	}
	for step, one := range *f {
		if one.over(now) {
			delete(*f, step)
		}
	}
	done := map[string]bool{}
	for _, step := range steps {
		if !done[step] {
			(*f)[step] = fight{(*f)[step].rounds + 1, now}
		}
		done[step] = true
	}
}
