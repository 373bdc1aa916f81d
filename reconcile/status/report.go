package status

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
)

// Report is a run and its outcome.
type Report struct {
	Doc     *api.Document    // the spec that was applied; nil if there was none
	Refused error            // why the spec file is refused; Doc is then another spec or nil
	Result  reconcile.Result // Began is zero if the host was only looked at; the status then keeps the last run
	Err     error            // of the run
	Agent   string           // version of the agent
	// Health is failover's last verdict if this process is the daemon. If it is nil, the verdict is read from the
	// daemon's file.
	Health *state.GuardRecord
}

// Write writes the outcome of a run and the present state of the host to the status file.
func Write(ctx context.Context, h host.Host, run Report) (Status, error) {
	ctx = context.WithoutCancel(ctx)
	doc := run.Doc
	if run.Refused != nil {
		doc = nil
	}
	r, err := newReading(ctx, h, run.Health)
	if err != nil {
		return Status{}, fmt.Errorf("cannot write the status: %w", err)
	}
	if r.ended = true; r.lastRun == nil || !run.Result.Began.IsZero() || run.refusedAnew(r.lastRun) {
		r.lastRun = run.status()
	}
	if run.Refused == nil && reconcile.Passing(run.Err) {
		r.refusal = run.Err
	}
	status, err := r.read(ctx, doc, run.Refused, run.Result.Look)
	status.Versions.Agent = run.Agent
	if err == nil {
		err = errors.Join(status.noteRole(ctx, h), status.Write(ctx, h))
	}
	if err != nil {
		return status, fmt.Errorf("cannot write the status: %w", err)
	}
	return status, nil
}

// refusedAnew reports whether the last run in the status does not yet say what is wrong with the spec file.
func (r Report) refusedAnew(last *Run) bool {
	return r.Refused != nil && (last.Error == "" || last.SpecDigest == "" && last.Error != r.Refused.Error())
}

// Write writes the status to the status file.
func (s Status) Write(ctx context.Context, h host.Host) error {
	return state.WriteDerived(ctx, h, state.StatusFile, s)
}

func (r Report) status() *Run {
	s := &Run{Time: r.Result.Began.Truncate(time.Second), Duration: r.Result.Time.Round(time.Millisecond).String(), Result: Converged}
	if r.Doc != nil && r.Refused == nil {
		s.SpecDigest = r.Doc.Digest
	}
	for _, step := range r.Result.Steps {
		s.Steps = append(s.Steps, step.String())
	}
	err := errors.Join(r.Refused, r.Err)
	var failure *reconcile.Failure
	switch {
	case r.Err == nil && r.Refused != nil:
		s.Result = Refused
	case err == nil && len(r.Result.Steps) > 0:
		s.Result = Changed
	case err == nil:
	case errors.As(err, &failure) && failure.Undone && failure.Undo == nil:
		s.Result = RolledBack
	case errors.As(err, &failure) || errors.Is(err, host.ErrUnavailable):
		s.Result = Failed
	default:
		s.Result = Refused
	}
	s.Error, s.Passing = said(err), s.Result == Refused && reconcile.Passing(err)
	if s.Time.IsZero() || r.Result.Began.IsZero() { // refused before the run began
		s.Time, s.Duration = time.Now().Truncate(time.Second), "0s"
	}
	return s
}
