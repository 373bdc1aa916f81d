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

// Trial is a spec that is tried.
type Trial struct {
	Version  int       `json:"version,omitempty"`
	ID       string    `json:"id,omitempty"`       // given by who began it, to confirm or end this one and no other
	File     string    `json:"file"`               // where it was read
	Spec     string    `json:"spec"`               // the spec file that it may replace
	By       string    `json:"by,omitempty"`       // who began it
	Since    time.Time `json:"since,omitzero"`     // when it began
	Deadline time.Time `json:"deadline"`           // when it ends unless confirmed
	TakeOver []string  `json:"takeOver,omitempty"` // MACs of machines from which a virtual IP may be taken

	Damage error `json:"-"` // why the file cannot be read, where its copy counts, or where nothing is known but that a trial began
}

// Over says whether its time is up.
func (t Trial) Over(now time.Time) bool { return !now.Before(t.Deadline) }

// String says what is tried, since when and by whom.
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

// RunningTrial is the trial that lasts, or nil. Of one whose file and copy are garbled it is known only that it began:
// its time is up, and it ends as one that nobody confirmed.
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
	if t.Spec != "" && !path.IsAbs(t.Spec) { // confirm replaces it
		return Trial{}, fmt.Errorf("%q is no absolute path", t.Spec)
	}
	return t, nil
}

// Write notes that the trial begins.
func (t Trial) Write(ctx context.Context, h host.Host) error {
	t.Version = version
	return writeDurable(ctx, h, TrialFile, t)
}

// RemoveTrial notes that the trial is over.
func RemoveTrial(ctx context.Context, h host.Host) error { return removeDurable(ctx, h, TrialFile) }

// TrialFiles are the files that a trial needs.
func TrialFiles() []string { return []string{TrialFile, copyOf(TrialFile), TrialSpecFile} }

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
