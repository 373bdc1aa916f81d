package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A view is what clients saw of one fault.
type view struct {
	victims        map[string]bool
	struck, healed time.Time
	requests       []request
	watches        []*stream
	list           *stream
	ends           map[*stream]end // until the heal
}

// An end is how a stream ended.
type end struct {
	after   time.Duration // the fault
	orderly bool          // the server ended it; it was not cut
	last    string
}

const heading = `
| fault | requests that failed | over 1 s | watches of the server | other watches | long LIST | after the heal |
|---|---|---|---|---|---|---|
`

// takeStreams records which streams have ended by now.
func (v *view) takeStreams() {
	v.ends = map[*stream]end{}
	for _, s := range append(v.watches[:len(v.watches):len(v.watches)], v.list) {
		select {
		case <-s.done:
			v.ends[s] = end{s.at.Sub(v.struck), s.err == nil, s.last}
		default:
		}
	}
}

// row returns a line of the table.
func (v *view) row(name string) string {
	return "| " + strings.Join([]string{name, v.failed(), v.slow(), v.watchesOf(true), v.watchesOf(false), v.longList(), v.after()}, " | ") + " |\n"
}

// between returns the requests that began between two times.
func (v *view) between(from, to time.Time) (all []request) {
	for _, r := range v.requests {
		if !r.began.Before(from) && r.began.Before(to) {
			all = append(all, r)
		}
	}
	return all
}

// failed returns how many requests failed, and when the first and the last of these began.
func (v *view) failed() string {
	all := v.between(time.Time{}, v.healed)
	var at []time.Duration
	for _, r := range all {
		if r.err != nil {
			at = append(at, r.began.Sub(v.struck))
		}
	}
	text := fmt.Sprintf("%d of %d", len(at), len(all))
	if len(at) > 0 {
		text += ", begun " + span(at)
	}
	return text
}

// slow returns how many of the other requests took long, and the longest time.
func (v *view) slow() string {
	count, most := 0, time.Duration(0)
	for _, r := range v.between(time.Time{}, v.healed) {
		if r.err == nil && r.took > tooSlow {
			count, most = count+1, max(most, r.took)
		}
	}
	if count == 0 {
		return "0"
	}
	return fmt.Sprintf("%d, at most %s", count, seconds(most))
}

// watchesOf returns how the watches of the victims, or of the others, ended.
func (v *view) watchesOf(victims bool) string {
	stay := 0
	ended := map[bool][]time.Duration{}
	for _, s := range v.watches {
		if v.victims[s.server] != victims {
			continue
		}
		if e, over := v.ends[s]; over {
			ended[e.orderly] = append(ended[e.orderly], e.after)
		} else {
			stay++
		}
	}
	var parts []string
	for orderly, how := range map[bool]string{true: "ended by the server", false: "cut"} {
		if at := ended[orderly]; len(at) > 0 {
			parts = append(parts, fmt.Sprintf("%d %s %s", len(at), how, span(at)))
		}
	}
	slices.Sort(parts)
	if stay > 0 {
		parts = append(parts, fmt.Sprintf("%d stay", stay))
	}
	if len(parts) == 0 {
		return "–"
	}
	return strings.Join(parts, ", ")
}

// longList returns how the LIST ended.
func (v *view) longList() string {
	switch e, over := v.ends[v.list]; {
	case !over:
		return "stands still"
	case e.orderly && e.last == "end":
		return "complete"
	default:
		return "cut " + span([]time.Duration{e.after})
	}
}

// after returns when the last request that failed after the heal began.
func (v *view) after() string {
	count, last := 0, time.Duration(0)
	for _, r := range v.between(v.healed, v.healed.Add(time.Hour)) {
		if r.err != nil {
			count, last = count+1, max(last, r.began.Sub(v.healed))
		}
	}
	if count == 0 {
		return "0 failed"
	}
	return fmt.Sprintf("%d failed, the last begun after %s", count, seconds(last))
}

// span returns the first and the last of these times after the fault.
func span(at []time.Duration) string {
	first, last := seconds(slices.Min(at)), seconds(slices.Max(at))
	if first == last {
		return "after " + first
	}
	return "after " + strings.TrimSuffix(first, " s") + "–" + last
}

// seconds formats a time with one decimal.
func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", max(0, d.Seconds())) }
