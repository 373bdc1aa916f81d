package state

import (
	"context"
	"fmt"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
)

const (
	TrialFile     = host.StateDir + "/trial.json"
	TrialSpecFile = host.StateDir + "/trial.yaml"
)

// Trial is a spec that is tried.
type Trial struct {
	File     string    `json:"file"`     // where it was read
	Spec     string    `json:"spec"`     // the spec file that it may replace
	Deadline time.Time `json:"deadline"` // when it ends unless confirmed
}

// Over says whether its time is up.
func (t Trial) Over(now time.Time) bool { return !now.Before(t.Deadline) }

// RunningTrial is the trial that lasts, or nil.
func RunningTrial(ctx context.Context, o host.Observer) (*Trial, error) {
	f, err := o.File(ctx, TrialFile)
	if err != nil || !f.Exists {
		return nil, err
	}
	t := new(Trial)
	return t, ReadJSON(ctx, o, TrialFile, t)
}

// TrialSpec is the spec that is tried.
func TrialSpec(ctx context.Context, o host.Observer) (*api.Document, error) {
	f, err := o.File(ctx, TrialSpecFile)
	if err != nil {
		return nil, err
	}
	if !f.Exists {
		return nil, fmt.Errorf("cannot read the spec that is tried: %s is gone", TrialSpecFile)
	}
	return api.Parse(TrialSpecFile, f.Data)
}
