package status

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/reconcile/state"
)

// pending describes a spec that is not in force: whether it is refused, and why. Obstacles on this host are looked for
// now, because they may be gone since the refusal; but not on a host that the agent never changed. The steps are those
// of the spec here.
func (r *reading) pending(ctx context.Context, s *Status, doc *api.Document, specErr error, ours bool) (steps []plan.Step) {
	p := &PendingSpec{Generation: s.Generation}
	s.PendingSpec = p
	if doc == nil {
		p.refuse("Refused", specErr)
		return nil
	}
	p.Digest = doc.Digest
	look, err := plan.FactFinder{Observer: r.o}.Look(ctx, &doc.Spec)
	if err == nil && r.refusal == nil && ours {
		err = reconcile.Obstacles(ctx, r.o, doc, look, nil)
	}
	if err = cmp.Or(r.refusal, err); reconcile.Passing(err) {
		p.refuse("RefusedByThisHost", plan.Placed(err, doc))
	} else if why := r.refusedBefore(ctx, doc.Digest, !ours); why != "" {
		p.refuse("RefusedByThisHost", errors.New(why))
	}
	return look.Plan.Steps()
}

// refusedBefore is why the last run, or the daemon, refused a spec, or "". passing: a refusal counts even if its cause
// may be gone.
func (r *reading) refusedBefore(ctx context.Context, digest string, passing bool) string {
	refused, err := state.ReadRefusal(ctx, r.o)
	r.note("the last refusal", err)
	if refused != nil && refused.Digest == digest && (passing || !refused.Passing) {
		return refused.Why
	}
	if last := r.lastRun; last != nil && last.SpecDigest == digest && last.Result == Refused && (passing || !last.Passing) {
		return last.Error
	}
	return ""
}

func (p *PendingSpec) refuse(reason string, err error) {
	p.Refused, p.Reason, p.Message = true, reason, said(err)
}

// NoSpec is the reason of the conditions Ready and SpecValid on a host that never had a spec.
const NoSpec = "NoSpec"

// noSpec says that there is no spec yet, at which path, and which commands write one.
func noSpec(err error) string {
	at := ""
	if file := (*fs.PathError)(nil); errors.As(err, &file) {
		at = " at " + file.Path
	}
	return "there is no spec yet" + at + "; rlb-agent init writes a first one, rlb-agent import makes one of installed files"
}

// specValid is the condition SpecValid: the spec file parses, only root can change it, and this host accepts it.
func (s *Status) specValid(specErr error, noneYet bool) Condition {
	c := Condition{Type: "SpecValid", Status: isTrue, Reason: "Accepted"}
	switch p := s.PendingSpec; {
	case noneYet:
		c.Status, c.Reason, c.Message = isUnknown, NoSpec, noSpec(specErr)
	case p != nil && p.Refused:
		c.Status, c.Reason, c.Message = isFalse, p.Reason, p.Message
	case s.FromFile && specErr != nil && !errors.Is(specErr, fs.ErrPermission):
		c.Status, c.Reason, c.Message = isFalse, "Refused", said(specErr)
	case s.FromFile: // only root can read whether this host refused the spec
		c.Status, c.Reason, c.Message = isUnknown, "NotSeen", cmp.Or(said(specErr), hiddenText)
	}
	return c
}

// hiddenText is why an ordinary user is not shown whether the host is in sync with its spec.
const hiddenText = "only root sees which spec is in force"

// withoutSpec is the condition Ready if there is no spec with which this host can be compared.
func withoutSpec(specErr error, noneYet bool) Condition {
	c := Condition{Type: "Ready", Status: isFalse, Reason: "SpecRefused", Message: said(specErr)}
	if noneYet {
		c.Reason, c.Message = NoSpec, noSpec(specErr)
	}
	if errors.Is(specErr, fs.ErrPermission) {
		c.Status, c.Reason = isUnknown, "NotSeen"
	}
	return c
}

// notApplied is the condition InSync of a host on which the spec of the file is not in force.
func notApplied(steps []plan.Step) Condition {
	c := Condition{Type: "InSync", Status: isFalse, Reason: "NotYetApplied", Message: "the spec is not applied yet"}
	if len(steps) > 0 {
		c.Message = "still to do: " + steps[0].String()
	}
	if len(steps) > 1 {
		c.Message += fmt.Sprintf(", and %d steps more", len(steps)-1)
	}
	return c
}

// Reconciling begins the status text (STATUS= of sd_notify(3)) of the daemon while it changes this host; the step
// follows.
const Reconciling = "reconciling"

// doing is what the daemon does now to change this host, or "".
func doing(agent host.Unit) string {
	step, changes := strings.CutPrefix(agent.Says, Reconciling)
	if !changes || !agent.Active() {
		return ""
	}
	return cmp.Or(strings.TrimPrefix(step, ": "), "looking at this host")
}

// agent reads the agent's own unit. If the unit is enabled, it must run: without the daemon nobody repairs drift, and a
// failover waits for keepalived's own check. Hosts that only use --once do not enable the unit.
func (r *reading) agent(ctx context.Context, s *Status) (unit host.Unit) {
	unit, ok := r.unit(ctx, host.AgentUnit)
	if r.agentUnseen = !ok; !ok || unit.LoadState == "not-found" {
		return unit
	}
	runs := unit.Active() || unit.ActiveState == "activating"
	s.Agent = &Agent{Running: runs, Enabled: unit.Enabled(), Since: unit.ActiveSince}
	if !unit.Enabled() {
		return unit
	}
	c := Condition{Type: "AgentRunning", Status: isTrue, Reason: "Running"}
	if !runs {
		c.Status, c.Reason = isFalse, "NotRunning"
		c.Message = fmt.Sprintf("%s is enabled, and not running: it is %s (%s); systemctl start rlb-agent", host.AgentUnit, unit.ActiveState, unit.SubState)
	}
	s.set(r, c)
	return unit
}
