package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rlb.dev/rlb-agent/api"
)

// WriteStatus leaves how a run ended, and how the host is now, for those who read files.
func WriteStatus(ctx context.Context, h Host, doc *api.Document, result Result, runErr error) error {
	ctx = context.WithoutCancel(ctx)
	status, err := ReadStatus(ctx, h, doc, nil, result.Look)
	if err != nil {
		return fmt.Errorf("cannot write the status: %w", err)
	}
	status.LastReconcile = runStatus(result, runErr)
	return writeJSON(ctx, h, StatusFile, status)
}

func runStatus(result Result, err error) *RunStatus {
	s := &RunStatus{Time: result.Began.Truncate(time.Second), Duration: result.Time.Round(time.Millisecond).String(), Result: Converged}
	for _, step := range result.Steps {
		s.Steps = append(s.Steps, step.String())
	}
	var failure *Failure
	switch {
	case err == nil && len(result.Steps) > 0:
		s.Result = Changed
	case err == nil:
	case !errors.As(err, &failure):
		s.Result = Refused
	case failure.Undone && failure.Undo == nil:
		s.Result = RolledBack
	default:
		s.Result = Failed
	}
	if err != nil {
		s.Error = err.Error()
	}
	return s
}
