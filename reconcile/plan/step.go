package plan

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
)

// Step is one change of a host, as data: what it does, its effects, and how it is undone.
type Step struct {
	Verb   string // "write", "reload" …
	Object string // a path, a unit, a package or a server
	Text   string // the line of the dry run and of the log, and the start of an error
	Drift  string // replaces Text in a repair if it is known what somebody changed: "… was edited by hand: put back"

	Loads   Load // the configuration that the step makes a unit run; zero for none
	Serving bool // clients or peers may notice the step, so the host is verified afterwards
	Slow    bool // the step runs apt or dpkg

	Undo    []Step // restore the previous state, in the order of what they undo; their own Undo is not used
	Rank    Rank   // position among the steps that undo a run
	Instead *Step  // alternative with the same result if this step is refused, or nil

	Do   func(ctx context.Context, t *Tools) error
	diff func() string // nil for none
}

// Load is a configuration that a unit reads.
type Load struct {
	Unit   string
	Config string // path; "" if not known
}

// Rank orders the steps that undo a run. A unit is disabled while its file still exists, and enabled, started or masked
// after its file is restored. All other steps run in between, in the order of what they undo.
type Rank int

// The ranks.
const (
	RankDisable Rank = iota - 1
	RankNormal
	RankEnable
	RankStart
)

// Tools are what the steps use to do their work.
type Tools struct {
	Host    host.Host
	Memory  *state.Memory
	Brought []string // packages that the steps installed
	Rejoin  []string // the command that waits until a peer leaves the former virtual router; none: no process waits
}

// String is the line of the step.
func (s Step) String() string { return s.Text }

// Diff is the change as a unified diff, or "".
func (s Step) Diff() string {
	if s.diff == nil {
		return ""
	}
	return s.diff()
}

// undoneBy is the step with the steps that undo it.
func (s Step) undoneBy(back ...Step) Step {
	s.Undo = back
	return s
}

// maxFound is the largest number of changes that Found names.
const maxFound = 2

// Found says what somebody changed on the host, as far as the repairing steps know it; else "".
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

// Serving reports whether clients or peers may notice any of the steps.
func Serving(steps []Step) bool {
	return slices.ContainsFunc(steps, func(s Step) bool { return s.Serving })
}

// Reloads reports whether any of the steps makes the unit read its configuration without a stop.
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
	sort.SliceStable(back, func(i, j int) bool { return back[i].Rank < back[j].Rank }) // the function of slices would add 10 kB of code
	return back
}
