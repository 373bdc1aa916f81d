package main

import (
	"fmt"
	"time"
)

// A promise is what the manual says clients see of a fault ("When API servers end or fail", failover page), and how far a
// measurement may be off it. Times count from the fault.
type promise struct {
	from, until time.Duration // requests that begin before or after these do not fail
	most        int           // requests that fail between
	watchesFrom time.Duration // when the watches of the servers that it happened to end: not before …
	watchesBy   time.Duration // … and all of them by then
	orderly     bool          // the servers end these; nobody cuts one
	list        bool          // the long LIST is complete
}

const (
	slack = time.Second // of the machine
	// With the defaults a server that refuses, or has another certificate, is out at the next check, and one that hangs after
	// three checks that waited. The daemon looks every two seconds for connections to cut, and HAProxy counts whole seconds.
	seen     = 2*time.Second + slack
	seenHung = 8*time.Second + slack
	cutAfter = 60 * time.Second
	cutBy    = cutAfter + 2*time.Second + 2*time.Second + time.Second + slack

	always   = time.Hour // until the heal
	many     = 1 << 30   // requests: any number may fail
	inFlight = 5         // requests: when a process dies, and on a port that is just being closed
)

// sick is of servers that answer /readyz with 500: they serve, so nothing fails.
var sick = promise{watchesFrom: cutAfter - slack, watchesBy: cutBy, list: true}

// broken says what clients saw otherwise, one sentence each.
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
	// The servers may take a moment to start. From then on HAProxy knows of each that serves, or tries it.
	for _, r := range v.between(v.healed.Add(slack), v.healed.Add(time.Hour)) {
		if r.err != nil {
			say("a request failed that began %s after the heal: %v", seconds(r.began.Sub(v.healed)), r.err)
			break
		}
	}
	return all
}

// watches judges those of the servers that the fault happened to, and the others, which stay.
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
