package beside

import (
	"strings"
	"testing"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/status"
)

// TestPrint: problems of the pair are listed below the columns, in the words of a single status's
// verdict.
func TestPrint(t *testing.T) {
	for name, c := range map[string]struct {
		ready string
		more  status.Condition
		want  string
	}{
		"well":           {"True", status.Condition{Type: "Redundant", Status: "True"}, ""},
		"no standby":     {"True", status.Condition{Type: "Redundant", Status: "False", Message: "lb2 cannot serve: it is drained"}, "lb1: lb2 cannot serve: it is drained\n"},
		"none is proven": {"True", status.Condition{Type: "Redundant", Status: "Unknown", Reason: "PeerSilent", Message: "lb2 runs no agent"}, "lb1: no standby is proven: lb2 runs no agent\n"},
		"another spec":   {"True", status.Condition{Type: "PeerInSync", Status: "False", Message: "lb2 has priority 1"}, "lb1: lb2 has priority 1\n"},
		"not ready":      {"False", status.Condition{Type: "Redundant", Status: "False", Message: "b"}, "lb1: a\n"},
	} {
		s := status.Status{Node: "lb1", Role: host.RoleMaster, Conditions: []status.Condition{{Type: "Ready", Status: c.ready, Message: "a"}, c.more}}
		other := status.Status{Node: "lb2", Role: host.RoleBackup, Conditions: []status.Condition{{Type: "Ready", Status: "True"}}}
		var b strings.Builder
		err := Print(&b, []Host{{Host: "lb1", Status: &s}, {Host: "lb2", Status: &other}, {Host: "lb3", Error: "lb3: cannot be asked"}})
		want := c.want + "lb3: cannot be asked\n"
		if got := b.String(); err != nil || !strings.HasSuffix(got, want) || strings.Count(got, "\nlb1: ") != strings.Count(want, "lb1: ") {
			t.Errorf("%s: %v\n%s\nwant at the end\n%s", name, err, got, want)
		}
	}
}
