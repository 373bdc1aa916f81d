package events

import (
	"strings"
	"time"
)

// Gap is how long the condition lasted that an event ended, by the times of the journal.
type Gap struct {
	What string        // "down", "without a server" …
	Long time.Duration // 0 if the event ends nothing, or if the beginning is not among the events
}

// Gaps are the gaps that the events end, one for each event. all has the oldest event first.
func Gaps(all []Event) []Gap {
	gaps := make([]Gap, len(all))
	open := map[string]beginning{} // by thing
	for i, e := range all {
		if thing := e.ends(); thing != "" {
			if begun, ok := open[thing]; ok {
				gaps[i] = Gap{begun.what, e.Time.Sub(begun.at)}
				delete(open, thing)
			}
		}
		if service, _, ok := strings.Cut(e.ends(), ": server "); ok {
			if begun, ok := open[service]; ok { // the first server that is up again
				gaps[i] = Gap{begun.what, e.Time.Sub(begun.at)}
				delete(open, service)
			}
		}
		if thing, what := e.begins(); thing != "" {
			if _, ok := open[thing]; !ok {
				open[thing] = beginning{e.Time, what}
			}
		}
	}
	return gaps
}

type beginning struct {
	at   time.Time
	what string
}

// begins names the thing and the condition that begins with this event, if another event ends it.
func (e Event) begins() (thing, what string) {
	switch {
	case e.Kind == Role && e.state == "MASTER":
		return "role", "MASTER"
	case e.Kind == Role && e.state == "FAULT":
		return "role", "in FAULT"
	case e.Kind == Server && strings.HasSuffix(e.Message, ": all servers are down"):
		return strings.TrimSuffix(e.Message, ": all servers are down"), "without a server"
	case e.Kind == Server:
		if thing, _, down := strings.Cut(e.Message, " is down"); down {
			return thing, "down"
		}
	case e.Kind == Program:
		for _, end := range []string{" was stopped", " died"} {
			if thing, _, ended := strings.Cut(e.Message, end); ended {
				return thing, "not running"
			}
		}
	}
	return "", ""
}

// ends names the thing whose condition ends with this event, "" for none.
func (e Event) ends() string {
	switch e.Kind {
	case Role:
		return "role"
	case Server:
		if thing, _, up := strings.Cut(e.Message, " is up"); up {
			return thing
		}
	case Program:
		if thing, started := strings.CutSuffix(e.Message, " was started"); started {
			return thing
		}
	}
	return ""
}
