package main

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/plan"
)

// TestPrintSteps: a dry run prints a summary of the steps, then each step with its cost to clients.
func TestPrintSteps(t *testing.T) {
	at := plan.Place{Role: host.RoleMaster, Peers: []string{"lb2"}, HandoverGap: 11 * time.Millisecond, FailoverGap: 11 * time.Millisecond}
	step := func(verb, object string) plan.Step {
		return plan.Step{Verb: verb, Object: object, Text: verb + " " + object, Serving: true}
	}
	for _, test := range []struct {
		steps []plan.Step
		want  string
		err   error
	}{
		{nil, "nothing to do: in sync with spec.yaml\n", nil},
		{[]plan.Step{step("reload", host.HAProxyUnit)}, `1 change on this host: reload haproxy.service
no connection is cut: the running programs load the changes

reload haproxy.service (no connection is cut: the old process serves its connections until they end)
1 step; nothing was changed
`, errDifferent},
		{[]plan.Step{step("write", "/etc/keepalived/keepalived.conf"), step("stop", host.KeepalivedUnit)}, `2 changes on this host: write keepalived.conf; stop keepalived.service
clients may notice it: this host is MASTER, and the virtual IPs move to lb2 within about 10 ms, and stay there

write /etc/keepalived/keepalived.conf
stop keepalived.service (the virtual IPs move to lb2 within about 10 ms, and stay there)
2 steps; nothing was changed
`, errDifferent},
	} {
		var out bytes.Buffer
		err := (&app{stdout: &out}).printSteps(test.steps, at, "in sync with spec.yaml")
		if diff := cmp.Diff(test.want, out.String()); diff != "" || !errors.Is(err, test.err) {
			t.Errorf("%v, -want +got:\n%s", err, diff)
		}
	}
}
