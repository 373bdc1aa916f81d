package status

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/reconcile/state"
)

// Values of a condition's status.
const (
	isTrue    = "True"
	isFalse   = "False"
	isUnknown = "Unknown"
)

// trouble says why a host does not serve: the reason and the message of the condition Serving.
type trouble struct{ reason, text string }

// failOpen is the reason of a trouble during which clients are still served.
const failOpen = "FailOpen"

// set replaces the condition of this type, or adds it. The transition time of the last status stays while the status of
// the condition stays the same.
func (s *Status) set(r *reading, c Condition) {
	c.LastTransitionTime, c.ObservedGeneration = r.now, s.ObservedGeneration
	for _, before := range r.last.Conditions {
		if before.Type == c.Type && before.Status == c.Status {
			c.LastTransitionTime = before.LastTransitionTime
		}
	}
	s.Conditions = slices.DeleteFunc(s.Conditions, func(before Condition) bool { return before.Type == c.Type })
	s.Conditions = append(s.Conditions, c)
	sort.Slice(s.Conditions, func(i, j int) bool { // slices.SortFunc would compile to 15 kB of extra code for this large type
		return slices.Index(conditionTypes, s.Conditions[i].Type) < slices.Index(conditionTypes, s.Conditions[j].Type)
	})
}

// conditionTypes are all types of conditions, in the order in which the status shows them.
var conditionTypes = []string{"Ready", "SpecValid", "InSync", "Serving", "PeerInSync", "Redundant", "AgentRunning"}

// readyTypes are the conditions that make a host ready. They describe this host alone, not its peers.
var readyTypes = []string{"SpecValid", "InSync", "Serving", "AgentRunning"}

// Condition returns the condition of this type, or the zero value.
func (s Status) Condition(kind string) Condition {
	for _, c := range s.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return Condition{}
}

// Is reports whether the condition of this type is True.
func (s Status) Is(kind string) bool { return s.Condition(kind).Status == isTrue }

// inSync is the condition InSync: this host is in sync with its spec. lookErr is the error of looking at the host, or
// nil.
func (r *reading) inSync(s *Status, lookErr error, trial *state.Trial, inForce bool) Condition {
	c := Condition{Type: "InSync", Status: isFalse}
	steps := r.look.Plan.Steps()
	field := (*plan.FieldError)(nil)
	switch last := s.Drift.Last; {
	case s.FromFile:
		c.Status, c.Reason, c.Message = isUnknown, "NotSeen", hiddenText
	case errors.As(lookErr, &field):
		c.Reason, c.Message = "HostLacks", lookErr.Error()
	case lookErr != nil:
		c.Status, c.Reason, c.Message = isUnknown, "NotSeen", lookErr.Error()
	case trial != nil:
		c.Reason, c.Message = "Trial", fmt.Sprintf("%v (rlb-agent confirm keeps it)", trial)
	case s.FirstRun != "":
		c.Reason, c.Message = "FirstRun", "the first run is under way: "+s.FirstRun
	case len(steps) > 0 || !inForce:
		if c = notApplied(steps); inForce {
			c.Reason = "Drifted"
		}
		if inForce && last != nil && !last.Repaired {
			c.Reason = "DriftNotRepaired"
			c.Message += strings.TrimSuffix("; "+last.Error, "; ")
			if last.By != "" {
				c.Message += "; changed by " + last.By
			}
		}
	case len(r.look.Observed.Unchecked) > 0:
		c.Status, c.Reason, c.Message = isUnknown, "NotSeen", "cannot look at "+r.look.Observed.Unchecked[0]
	default:
		c.Status, c.Reason = isTrue, "InSync"
	}
	return c
}

// KeptOut is the reason of the condition Serving on a host whose virtual router changed, until the peers have changed
// their virtual routers too.
const KeptOut = "KeptOut"

// serving is the condition Serving: this host does its part for the clients. It is also true on a standby and on a
// drained host.
func (r *reading) serving(s *Status, problems []trouble) Condition {
	c := Condition{Type: "Serving", Status: isFalse}
	switch {
	case s.Role == host.RoleFault && !s.Drained:
		problems = append(problems, trouble{"InFault", strings.TrimSuffix("this host must not hold the virtual IPs: "+s.RoleReason, ": ")})
	case s.Role == host.RoleStopped && !s.Drained:
		reason := "KeepalivedStopped"
		if r.keptOut {
			reason = KeptOut
		}
		problems = append(problems, trouble{reason, s.RoleReason})
	}
	var texts []string
	for _, p := range problems {
		texts = append(texts, p.text)
		if c.Reason == "" || c.Reason == failOpen {
			c.Reason = p.reason
		}
	}
	if c.Message = strings.Join(texts, "; "); len(problems) > 0 && c.Reason != failOpen {
		return c
	}
	c.Status = isTrue
	switch {
	case c.Reason == failOpen && s.Role != host.RoleUnknown && !s.Drained:
	case s.HAProxy == nil || s.HAProxy.State == host.HAProxyUnknown:
		c.Status, c.Reason = isUnknown, "NotSeen"
	case s.Role == host.RoleUnknown:
		c.Reason, c.Message = "RoleUnknown", "the services work; keepalived does not report its role"
	case s.Drained:
		c.Reason, c.Message = "Drained", "this host leaves the virtual IPs to its peers until rlb-agent undrain"
	case s.Role == host.RoleMaster:
		c.Reason = "Active"
	default:
		c.Reason, c.Message = "StandingBy", "ready to take the virtual IPs over"
	}
	if s.HAProxy != nil && s.HAProxy.State == host.HAProxyFull {
		c.Message = strings.TrimPrefix(c.Message+"; haproxy is at its limit of connections (proxy.maxConnections)", "; ")
	}
	return c
}

// ready is the condition Ready, which sums up the conditions of readyTypes.
func (s *Status) ready() Condition {
	c := Condition{Type: "Ready", Status: isTrue, Reason: "InSyncAndServing"}
	if s.Drained {
		c.Reason = "Drained"
	}
	var texts []string
	for _, kind := range readyTypes {
		part := s.Condition(kind)
		if part.Status == isTrue || part.Type == "" {
			continue
		}
		if c.Status == isTrue || c.Status == isUnknown && part.Status == isFalse {
			c.Status, c.Reason = part.Status, map[string]string{"SpecValid": "SpecInvalid", "InSync": "NotInSync", "Serving": "NotServing", "AgentRunning": "AgentNotRunning"}[kind]
		}
		if part.Message != "" {
			texts = append(texts, part.Message)
		}
	}
	c.Message = strings.Join(texts, "; ")
	return c
}
