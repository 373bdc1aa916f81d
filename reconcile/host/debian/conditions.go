package debian

import (
	"context"
	"strings"

	"rlb.dev/rlb-agent/reconcile/host/debian/systemd"
)

// notStarted returns why a unit is not active after a start job that systemd reports as done; "" if the unit may be
// inactive. A start that an unmet condition prevents counts as done, and systemd can unload the unit at once.
func (h *Host) notStarted(ctx context.Context, name string, p systemd.Properties) string {
	if p.Text("ActiveState") != "inactive" {
		return ""
	}
	tried := !p.Time("ConditionTimestamp").IsZero() // otherwise unloaded
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

// conditions returns a unit's conditions as in its file; if they were checked, only the unmet ones.
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
