package main

import (
	"fmt"
	"time"
)

// A promise is what clients see of a fault according to the manual ("When API servers end or fail", failover page),
// with the tolerance of the measurement. Times count from the fault.
type promise struct {
	from, until time.Duration // requests that begin before from or after until do not fail
	most        int           // requests that fail between them
	watchesFrom time.Duration // the watches of the victims do not end before …
	watchesBy   time.Duration // … and all end by this time
	orderly     bool          // the servers end these watches; none is cut
	list        bool          // the long LIST is complete
}

const (
	slack = time.Second // tolerance for the machine
	// With the defaults a server that refuses connections, or has another certificate, is down at the next check, and one
	// that hangs after three checks with timeouts. The daemon looks every two seconds for connections to cut, and HAProxy
	// counts whole seconds.
	seen     = 2*time.Second + slack
	seenHung = 8*time.Second + slack
	cutAfter = 60 * time.Second
	cutBy    = cutAfter + 2*time.Second + 2*time.Second + time.Second + slack

	always   = time.Hour // until the heal
	many     = 1 << 30   // requests: any number may fail
	inFlight = 5         // requests: when a process dies, or while its port is being closed
)

// sick is for servers that answer /readyz with 500: they still serve, so nothing fails.
var sick = promise{watchesFrom: cutAfter - slack, watchesBy: cutBy, list: true}

// broken returns a sentence for each difference from what clients saw.
func (p promise) broken(v *view) (all []string) {
	say := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	outside, inside, last := 0, 0, time.Duration(0)
	for _, r := range v.between(time.Time{}, v.healed) {
		switch at := r.began.Sub(v.struck); {
		case r.err == nil:
		case at < p.from-slack || at > p.until: // some are in flight then
			outside, last = outside+1, at
		default:
			inside++
		}
	}
	if outside > 0 && p.until > 0 {
		say("%d requests failed while none may, one begun after %s", outside, seconds(last))
	} else {
		inside += outside
	}
	if inside > p.most {
		say("%d requests failed, want at most %d", inside, p.most)
	}
	p.watches(v, say)
	if e, over := v.ends[v.list]; p.list && !(over && e.orderly && e.last == "end") {
		say("the LIST is not complete: %s", v.longList())
	}
	// The servers may take a moment to start. After that HAProxy knows which servers serve, or tries them.
	for _, r := range v.between(v.healed.Add(slack), v.healed.Add(time.Hour)) {
		if r.err != nil {
			say("a request failed that began %s after the heal: %v", seconds(r.began.Sub(v.healed)), r.err)
			break
		}
	}
	return all
}

// watches judges the watches of the victims, and those of the others, which must stay.
func (p promise) watches(v *view, say func(string, ...any)) {
	for _, s := range v.watches {
		switch e, over := v.ends[s]; {
		case !v.victims[s.server] && over:
			say("a watch of %s ended after %s, which nothing happened to", s.server, seconds(e.after))
		case !v.victims[s.server]:
		case p.watchesBy > 0 && !over:
			say("a watch of %s stays, want it to end by %s", s.server, seconds(p.watchesBy))
		case !over:
		case e.after < p.watchesFrom || p.watchesBy > 0 && e.after > p.watchesBy:
			say("a watch of %s ended after %s, want %s to %s", s.server, seconds(e.after), seconds(p.watchesFrom), seconds(p.watchesBy))
		case p.orderly && !e.orderly:
			say("a watch of %s was cut after %s, want the server to end it", s.server, seconds(e.after))
		}
	}
}
