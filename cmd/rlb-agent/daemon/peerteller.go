package daemon

import (
	"log/slog"
	"time"

	"rlb.dev/rlb-agent/reconcile/backoff"
	"rlb.dev/rlb-agent/reconcile/peers"
)

// peerQuiet is how long a verdict must last before it is logged: an edit reaches two hosts at different times, and a
// restarted agent sends a goodbye.
const peerQuiet = 6 * time.Second

// peerTeller logs changes between this host and its peers. It limits how often it logs, because any machine on the link
// can cause changes.
type peerTeller struct {
	log       *slog.Logger
	inSync    lasting
	redundant lasting
}

// lasting is a verdict that is logged once it has lasted for peerQuiet.
type lasting struct {
	now    peers.Verdict
	since  time.Time
	logged peers.Verdict
	again  backoff.Backoff
}

// turn reports whether to log the verdict now, and the status that was logged before. If not, wait is the time until
// the next call.
func (l *lasting) turn(v peers.Verdict, now time.Time) (due bool, was string, wait time.Duration) {
	if v != l.now {
		l.now, l.since = v, now
	}
	if v == l.logged || v.Reason == peers.Listening {
		return false, "", time.Hour
	}
	if wait = max(peerQuiet-now.Sub(l.since), l.again.Left()); wait > 0 {
		return false, "", wait
	}
	l.again.First, l.again.Most, l.again.Quiet = peerQuiet, 10*time.Minute, 10*time.Minute
	l.again.Next()
	was, l.logged = l.logged.Status, v
	return true, was, time.Hour
}

// tell logs the verdicts that have lasted, and returns the time until the next call.
func (t *peerTeller) tell(inSync, redundant peers.Verdict, now time.Time) time.Duration {
	due, was, next := t.inSync.turn(inSync, now)
	switch {
	case !due:
	case inSync.Status == "False":
		t.log.Warn("the specs of the hosts differ: "+inSync.Message, "reason", inSync.Reason)
	case inSync.Status == "True" && was == "False":
		t.log.Info("all hosts have the same spec again")
	}
	due, was, other := t.redundant.turn(redundant, now)
	switch {
	case !due:
	case redundant.Status == "False":
		t.log.Warn("no standby is ready: "+redundant.Message, "reason", redundant.Reason)
	case redundant.Status == "True" && was != "True":
		t.log.Info("redundant: " + redundant.Message)
	case redundant.Status == "Unknown" && was == "True":
		t.log.Warn("it is not known whether a standby is ready: "+redundant.Message, "reason", redundant.Reason)
	}
	return min(next, other)
}
