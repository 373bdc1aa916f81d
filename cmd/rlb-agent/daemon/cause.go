package daemon

import (
	"fmt"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/cmd/rlb-agent/filewatch"
)

// cause says why a tick begins.
type cause struct {
	started bool     // the daemon has just started
	asked   bool     // somebody asked for it (SIGHUP)
	tried   bool     // a trial is over that no run has ended
	seen    []string // what changed: the spec, files, units …; empty at a regular look
}

// isSpec reports whether a change of "what" may be a change of the spec file.
func isSpec(what, spec string) bool { return what == spec || what == filewatch.LookedUp }

// edited reports whether the spec may have changed.
func (c cause) edited(spec string) bool {
	return slices.ContainsFunc(c.seen, func(what string) bool { return isSpec(what, spec) })
}

// maxNamed limits how many changes a reason names.
const maxNamed = 3

// drift describes the cause of a repair.
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
