package plan

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/reconcile/host"
)

// shownObjects is the largest number of objects of one verb that a summary names.
const shownObjects = 3

// Summary sums up the steps in two lines: what is done, and what clients notice. It is empty if there are no steps.
func Summary(steps []Step, at Place) string {
	if len(steps) == 0 {
		return ""
	}
	var verbs []string
	objects := map[string][]string{}
	for _, s := range steps {
		if !slices.Contains(verbs, s.Verb) {
			verbs = append(verbs, s.Verb)
		}
		if object := path.Base(s.Object); !slices.Contains(objects[s.Verb], object) {
			objects[s.Verb] = append(objects[s.Verb], object)
		}
	}
	var parts []string
	for _, verb := range verbs {
		names := objects[verb]
		if more := len(names) - shownObjects; more > 0 {
			names = append(names[:shownObjects:shownObjects], fmt.Sprintf("%d more", more))
		}
		parts = append(parts, verb+" "+strings.Join(names, ", "))
	}
	noun := "changes"
	if len(steps) == 1 {
		noun = "change"
	}
	return fmt.Sprintf("%d %s on this host: %s\n%s\n", len(steps), noun, strings.Join(parts, "; "), effect(steps, at))
}

// effect says what clients notice of the steps.
func effect(steps []Step, at Place) string {
	does := func(unit string, verbs ...string) bool {
		return slices.ContainsFunc(steps, func(s Step) bool { return s.Object == unit && slices.Contains(verbs, s.Verb) })
	}
	leaves := slices.ContainsFunc(steps, func(s Step) bool { return s.Verb == verbLeave })
	unnoticed := at.Unnoticed && !does(host.HAProxyUnit, "stop")
	haproxy, keepalived := does(host.HAProxyUnit, stops...), leaves || does(host.KeepalivedUnit, stops...)
	switch {
	case (haproxy || keepalived) && at.out() != "":
		return "clients do not notice it: this host is " + at.out() + ", and clients do not use it"
	case haproxy && at.Role == host.RoleMaster && (keepalived || !unnoticed):
		gap := at.FailoverGap
		if keepalived { // keepalived hands over first
			gap = min(gap, at.HandoverGap)
		}
		return "clients notice it: " + at.moves(gap) + "; the connections through this host's HAProxy end"
	case haproxy:
		return "clients notice it: the connections through this host's HAProxy end"
	case keepalived && at.Role == host.RoleMaster:
		return "clients may notice it: this host is MASTER, and " + at.moves(at.HandoverGap)
	case keepalived:
		return "clients may notice it: if this host holds the virtual IPs, they move to " + at.otherHosts()
	case does(host.HAProxyUnit, "start"), does(host.KeepalivedUnit, "start"):
		return "no connection is cut: programs that do not run yet are started"
	case does(host.HAProxyUnit, "mask"): // until its package is installed
		return "no connection is cut: HAProxy does not run on this host yet"
	case Serving(steps):
		return "no connection is cut: the running programs load the changes"
	}
	return "clients do not notice it"
}
