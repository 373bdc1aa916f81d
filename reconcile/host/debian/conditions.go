package debian

import (
	"context"
	"strings"

	"rlb.dev/rlb-agent/reconcile/host/debian/systemd"
)

// notStarted is why a unit is not active after a start that systemd calls done, or "" where it may be so. A start that
// a condition forbids counts as done, and systemd may forget all about it at once.
func (h *Host) notStarted(ctx context.Context, name string, p systemd.Properties) string {
	if p.Text("ActiveState") != "inactive" {
		return ""
	}
	tried := !p.Time("ConditionTimestamp").IsZero() // else forgotten
	if tried && p.Bool("ConditionResult") && p.Bool("AssertResult") || !tried && p.Text("Type") == "oneshot" {
		if p.Text("Type") == "oneshot" && !p.Bool("RemainAfterExit") {
			return ""
		}
		return "it ended at once"
	}
	conditions := h.conditions(ctx, name, tried)
	if len(conditions) == 0 {
		return "it ended at once"
	}
	return "it is kept from starting by " + strings.Join(conditions, ", ")
}

// conditions are a unit's conditions as in its file; only the unmet ones if they were looked at.
func (h *Host) conditions(ctx context.Context, name string, tried bool) []string {
	var all []string
	for _, list := range []string{"Conditions", "Asserts"} { // a(sbbsi): name, trigger, negate, parameter, state
		p, _ := h.systemd.Property(ctx, systemd.UnitPath(name), "Unit", list)
		conditions, _ := p.([][]any)
		for _, c := range conditions {
			if len(c) != 5 {
				continue
			}
			condition, _ := c[0].(string)
			negate, _ := c[2].(bool)
			parameter, _ := c[3].(string)
			if state, _ := c[4].(int32); tried && state >= 0 {
				continue
			}
			if negate {
				parameter = "!" + parameter
			}
			all = append(all, condition+"="+parameter)
		}
	}
	return all
}
