// Package events derives what happened on a host, and why, from the journal entries of the agent, HAProxy, keepalived and
// systemd. It is pure: entries in, events out.
package events

import (
	"slices"
	"strings"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
)

// Kind is the subject of an event.
type Kind string

// The kinds.
const (
	Role    Kind = "Role"    // this host took the virtual IPs, lost them, or may not hold them
	Program Kind = "Program" // HAProxy, keepalived or the agent was started, stopped, reloaded, or died
	Server  Kind = "Server"  // a server or a whole service went down or came back
	Health  Kind = "Health"  // the agent found that HAProxy failed or recovered
	Change  Kind = "Change"  // the agent changed this host
	Refusal Kind = "Refusal" // a spec was refused, or a change was undone
	Command Kind = "Command" // a person or a timer ran a command of the agent, or a trial is over
	Notice  Kind = "Notice"  // another warning or error
)

// Event is one thing that happened.
type Event struct {
	Time    time.Time `json:"time"`
	Kind    Kind      `json:"kind"`
	Message string    `json:"message"`
	Cause   string    `json:"cause,omitempty"` // why, if it is known

	state string // of a role: MASTER, BACKUP or FAULT; of a server: UP, DOWN or NOLB
	about string // of a server: "service/server"
}

// A role changes up to causeBefore after its cause. The agent or systemd may log the cause up to causeAfter later than
// keepalived logs the change.
const (
	causeBefore = 3 * time.Second
	causeAfter  = 500 * time.Millisecond

	noticedAfter = 3 * time.Second // the agent records the role with the status, which takes longer on a busy machine
)

// serverAgain is how long after HAProxy the agent may log the same change of a server: the agent looks every two seconds.
const serverAgain = 5 * time.Second

// mergeWithin is the time within which steps of one run are merged into one event.
const mergeWithin = 3 * time.Second

// Tell turns journal entries into events. Both have the oldest first.
func Tell(entries []host.JournalEntry) []Event { return After(nil, entries) }

// After is Tell without the events that were told already, from the entries before.
func After(told []Event, entries []host.JournalEntry) []Event {
	all := told[:len(told):len(told)]
	var causes []cause
	for _, e := range entries {
		event, ok := tell(e)
		if c := causeOf(e, event); c.text != "" {
			causes = append(causes, c)
		}
		if !ok {
			continue
		}
		if repeats(all, event) {
			continue
		}
		if n := len(all); n > len(told) && merges(&all[n-1], event) {
			continue
		}
		all = append(all, event)
	}
	all = all[len(told):]
	for i := range all {
		if all[i].Kind == Role {
			all[i].Cause = nearest(causes, all[i])
		}
	}
	return all
}

// Last returns the last events of the entries; most is their largest number.
func Last(entries []host.JournalEntry, most int) []Event {
	all := Tell(entries)
	return slices.Clone(all[max(len(all)-most, 0):])
}

// repeats reports whether e is already in all: HAProxy logs a change of a server to each of its logs and to standard error.
func repeats(all []Event, e Event) bool {
	for _, before := range slices.Backward(all) {
		since := e.Time.Sub(before.Time)
		if since > serverAgain {
			return false
		}
		if e.about != "" && before.about == e.about {
			return before.state == e.state
		}
		if since > mergeWithin {
			continue
		}
		if before.Kind == e.Kind && e.Kind == Role {
			return before.state == e.state
		}
		if before.Kind == e.Kind && before.Message == e.Message && before.Cause == e.Cause {
			return true
		}
	}
	return false
}

// merges adds a step to the event of the steps before it, and reports whether it did.
func merges(last *Event, e Event) bool {
	if e.Kind != Change || last.Kind != Change || e.Cause != last.Cause || e.Time.Sub(last.Time) > mergeWithin {
		return false
	}
	last.Message += ", " + e.Message
	return true
}

// cause is something that can make a host change its role.
type cause struct {
	time time.Time
	text string
	rank rank // a cause with a higher rank explains more

	role   string // the agent's own view of why it has this role
	health bool   // of this host's HAProxy, which can only keep it from being MASTER
}

// nearest is the cause with the highest rank among the causes that are close enough in time to a change of role.
func nearest(causes []cause, e Event) string {
	var best cause
	for _, c := range causes {
		after := e.Time.Sub(c.time)
		if c.role != "" { // the agent recorded this change, or another one
			if c.role == e.state && after <= 0 && after >= -noticedAfter && best.rank < c.rank {
				best = c
			}
			continue
		}
		if after > causeBefore || after < -causeAfter || e.state == "MASTER" && c.health {
			continue
		}
		if c.rank >= best.rank {
			best = c
		}
	}
	return best.text
}

// rank orders causes: a command of a person explains more than its consequences.
type rank int

const (
	_ rank = iota
	byStatus
	byAdvertisement
	byProgram
	byFault
	byPerson
)

// moves are the commands that can move the virtual IPs.
var moves = []string{" drain", " undrain", " try", " rollback", " teardown", " --once"}

// causeOf is the cause that an entry may be for a change of role.
func causeOf(e host.JournalEntry, event Event) cause {
	c := cause{time: e.Time, text: event.Message}
	switch {
	case event.Kind == Command && e.Fields["trial"] != "",
		event.Kind == Command && slices.ContainsFunc(moves, func(verb string) bool { return strings.Contains(e.Fields["command"], verb) }):
		c.rank = byPerson
	case e.Unit == host.Sudo:
		c.rank, c.health = byPerson, strings.Contains(c.text, "haproxy")
	case event.Kind == Health && strings.Contains(event.Message, "FAULT"):
		c.rank, c.health = byFault, true
		c.text = strings.TrimPrefix(event.Message, "entering FAULT: ")
	case event.Kind == Program && e.Unit != host.AgentUnit:
		c.rank, c.health = byProgram, e.Unit == host.HAProxyUnit
	case e.Unit == host.AgentUnit && e.Fields["role"] != "":
		c.text, c.role, c.rank = e.Fields["why"], e.Fields["role"], byStatus
	case e.Unit == host.KeepalivedUnit && !e.Manager:
		c.text, c.rank = advertisement(e.Message), byAdvertisement
	default:
		return cause{}
	}
	return c
}
