package plan

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
)

// Step is one thing that must be done to a host, as data: what it is, what follows from it, and how it is undone.
type Step struct {
	Verb   string // "write", "reload" …
	Object string // what it is done to: a path, a unit, a package, a server
	Text   string // the line of the dry run and of the log, and the start of an error
	Drift  string // what a repair says instead, where it is known what somebody changed: "… was edited by hand: put back"

	Loads   Load // the configuration that it makes a unit run; zero for none
	Serving bool // clients or peers can notice it, so the host is verified afterwards
	Slow    bool // it works with apt or dpkg

	Undo    []Step // bring back what was there before, in the order of what they undo; their own Undo is not used
	Rank    Rank   // its place among the steps that undo a run
	Instead *Step  // does the same where this step is refused, or nil

	Do   func(ctx context.Context, t *Tools) error
	diff func() string // nil for none
}

// Load is a configuration that a unit reads.
type Load struct {
	Unit   string
	Config string // path; "" where it is not known
}

// Rank orders the steps that undo a run. A unit is disabled while its file is there, and enabled, started or masked
// when it is there again; all else comes in between, in the order of what it undoes.
type Rank int

// The ranks.
const (
	RankDisable Rank = iota - 1
	RankNormal
	RankEnable
	RankStart
)

// Tools are what steps work with.
type Tools struct {
	Host    host.Host
	Memory  *state.Memory
	Brought []string // packages that the steps installed
	Rejoin  []string // the command that waits for a peer to leave the former virtual router; none: nobody waits
}

// String is the step's line.
func (s Step) String() string { return s.Text }

// Diff is what changes, as a unified diff, or "".
func (s Step) Diff() string {
	if s.diff == nil {
		return ""
	}
	return s.diff()
}

// undoneBy is the step with its way back.
func (s Step) undoneBy(back ...Step) Step {
	s.Undo = back
	return s
}

// maxFound is how many of the changes that were found are named.
const maxFound = 2

// Found is what somebody changed on the host, as far as the steps that repair it know; else "".
func Found(steps []Step) string {
	var all []string
	for _, s := range steps {
		if found, _, known := strings.Cut(s.Drift, ": "); known && !slices.Contains(all, found) {
			all = append(all, found)
		}
	}
	if more := len(all) - maxFound; more > 0 {
		all = append(all[:maxFound], fmt.Sprintf("%d more changes", more))
	}
	return strings.Join(all, "; ")
}

// Serving says whether clients or peers can notice any of the steps.
func Serving(steps []Step) bool {
	return slices.ContainsFunc(steps, func(s Step) bool { return s.Serving })
}

// Reloads says whether any of the steps makes the unit read its configuration without a stop.
func Reloads(steps []Step, unit string) bool {
	return slices.ContainsFunc(steps, func(s Step) bool { return s.Verb == verbReload && s.Object == unit })
}

// WayBack are the steps that undo others. One reload is enough for all steps that need it.
func WayBack(done []Step) []Step {
	var back []Step
	for _, s := range done {
		for _, b := range s.Undo {
			back = slices.DeleteFunc(back, func(before Step) bool {
				return b.Verb == verbReload && before.Verb == b.Verb && before.Loads == b.Loads
			})
			back = append(back, b)
		}
	}
	slices.SortStableFunc(back, func(a, b Step) int { return int(a.Rank - b.Rank) })
	return back
}
