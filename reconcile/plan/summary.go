package plan

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/reconcile/host"
)

// shownObjects is how many objects of one verb a summary names.
const shownObjects = 3

// Summary says in two lines what the steps come to: what is done, and what clients notice of it. It is empty where there
// are no steps.
func Summary(steps []Step) string {
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
	return fmt.Sprintf("%d %s on this host: %s\n%s\n", len(steps), noun, strings.Join(parts, "; "), effect(steps))
}

// effect is what clients notice of the steps.
func effect(steps []Step) string {
	does := func(unit string, verbs ...string) bool {
		return slices.ContainsFunc(steps, func(s Step) bool { return s.Object == unit && slices.Contains(verbs, s.Verb) })
	}
	leaves := slices.ContainsFunc(steps, func(s Step) bool { return s.Verb == verbLeave })
	switch {
	case does(host.HAProxyUnit, "stop", verbRestart):
		return "clients notice it: the connections through this host's HAProxy end"
	case leaves, does(host.KeepalivedUnit, "stop", verbRestart):
		return "clients may notice it: if this host holds the virtual IPs, they move to another host"
	case does(host.HAProxyUnit, "start"), does(host.KeepalivedUnit, "start"):
		return "no connection is cut: what does not run yet is started"
	case Serving(steps):
		return "no connection is cut: the programs take over what is new while they run"
	}
	return "clients do not notice it"
}
