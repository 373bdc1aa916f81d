package daemon

import (
	"fmt"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/cmd/rlb-agent/filewatch"
)

// cause is why a tick begins.
type cause struct {
	started bool     // the daemon has just started
	asked   bool     // somebody wants it now
	seen    []string // what was seen to change: the spec, files, units …; none at a regular look
}

// isSpec says whether what was seen may be a change of the spec file.
func isSpec(what, spec string) bool { return what == spec || what == filewatch.LookedUp }

// edited says whether the spec may have changed.
func (c cause) edited(spec string) bool {
	return slices.ContainsFunc(c.seen, func(what string) bool { return isSpec(what, spec) })
}

// maxNamed is how many of the things that were seen to change a reason names.
const maxNamed = 3

// drift is the cause of a repair in words.
func (c cause) drift() string {
	switch {
	case c.asked:
		return "drift, found by a requested check"
	case c.started:
		return "drift, or what another version of the agent renders, found at the start"
	case len(c.seen) > maxNamed:
		return fmt.Sprintf("drift, seen at %s and %d others", strings.Join(c.seen[:maxNamed-1], ", "), len(c.seen)-maxNamed+1)
	case len(c.seen) > 0:
		return "drift, seen at " + strings.Join(c.seen, ", ")
	}
	return "drift, found by the regular check"
}
