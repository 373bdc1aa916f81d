package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
)

// Trial describes a spec on trial.
type Trial struct {
	Version  int       `json:"version,omitempty"`
	ID       string    `json:"id,omitempty"`       // chosen by the caller, to confirm or end only this trial
	File     string    `json:"file"`               // path from which the spec was read
	Spec     string    `json:"spec"`               // the spec file that the tried spec replaces when it is confirmed
	By       string    `json:"by,omitempty"`       // user who began the trial
	Since    time.Time `json:"since,omitzero"`     // when it began
	Deadline time.Time `json:"deadline"`           // when the trial ends unless it is confirmed; until it is in force, when it began
	TakeOver []string  `json:"takeOver,omitempty"` // MACs of the machines from which a virtual IP may be taken

	Damage error `json:"-"` // why the file cannot be read: its copy was read, or it is only known that a trial began
}

// Over reports whether the deadline has passed.
func (t Trial) Over(now time.Time) bool { return !now.Before(t.Deadline) }

// String says which file is tried, since when, and who started the trial.
func (t Trial) String() string {
	text := t.File + " is tried"
	if !t.Since.IsZero() {
		text += " since " + t.Since.Local().Format(time.TimeOnly)
	}
	if t.By != "" {
		text += " by " + t.By
	}
	return text + " until " + t.Deadline.Local().Format(time.TimeOnly)
}

// RunningTrial reads the present trial, or nil. If its file and its copy are damaged, it is only known that a trial began:
// the result then has a deadline in the past, so the trial ends as not confirmed.
func RunningTrial(ctx context.Context, o host.Observer) (*Trial, error) {
	s, err := readDurable(ctx, o, TrialFile, decodeTrial)
	switch {
	case err != nil && isFinal(ctx, err):
		return nil, err
	case err != nil:
		return &Trial{Damage: err}, nil
	case !s.found:
		return nil, nil
	}
	s.value.Damage = s.damage
	return &s.value, nil
}

func decodeTrial(data []byte) (t Trial, err error) {
	if err := json.Unmarshal(data, &t); err != nil {
		return Trial{}, err
	}
	if t.Deadline.IsZero() {
		return Trial{}, errors.New("it has no deadline")
	}
	if t.Spec != "" && !path.IsAbs(t.Spec) { // confirm writes this file
		return Trial{}, fmt.Errorf("%q is no absolute path", t.Spec)
	}
	return t, nil
}

// Write records that the trial begins.
func (t Trial) Write(ctx context.Context, h host.Host) error {
	t.Version = version
	return writeDurable(ctx, h, TrialFile, t)
}

// RemoveTrial records that the trial is over.
func RemoveTrial(ctx context.Context, h host.Host) error { return removeDurable(ctx, h, TrialFile) }

// TrialFiles are the files that a trial needs.
func TrialFiles() []string { return []string{TrialFile, copyOf(TrialFile), TrialSpecFile} }

// TrialSpec reads the spec on trial.
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
