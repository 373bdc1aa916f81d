package state

import (
	"context"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
)

// Wait is that this host goes on serving the connections that it has after it gave the virtual IPs up, until a deadline.
// The record is there from before the move until none is left. It does not outlive the boot, and neither do they.
type Wait struct {
	Began time.Time `json:"began"` // tells one wait from the next
	Until time.Time `json:"until"`
}

// ReadWait is the wait that is on; nil where there is none.
func ReadWait(ctx context.Context, o host.Observer) (*Wait, error) {
	w, err := ReadDerived[Wait](ctx, o, WaitFile)
	if err != nil || w.Began.IsZero() {
		return nil, err
	}
	return &w, nil
}

// Write begins the wait, or gives it another deadline.
func (w *Wait) Write(ctx context.Context, h host.Host) error {
	return WriteDerived(ctx, h, WaitFile, w)
}

// ForgetWait ends it.
func ForgetWait(ctx context.Context, h host.Host) error { return h.RemoveFile(ctx, WaitFile) }

// Waiting is how a wait goes on, as who keeps it writes it every second.
type Waiting struct {
	Wait
	Written time.Time `json:"written"`
	Moved   time.Time `json:"moved,omitzero"` // since when another host has the virtual IPs; zero before the move
	// Forwarded is until when the new holder forwards if no other heartbeat comes, as it was when this was written.
	Forwarded time.Time `json:"forwarded,omitzero"`

	First int `json:"first"` // connections at the move
	Left  int `json:"left"`  // of them
	// How it ended. Text is "" while it is on.
	Text   string `json:"text,omitempty"`
	Closed int    `json:"closed,omitempty"` // connections that did not end by themselves
}

// ReadWaiting is how a wait goes on, or how the last one ended. The zero value is that there was none since the boot.
func ReadWaiting(ctx context.Context, o host.Observer) (Waiting, error) {
	return ReadDerived[Waiting](ctx, o, WaitingFile)
}

// Write leaves it for the status, and for who began the wait.
func (w Waiting) Write(ctx context.Context, h host.Host) error {
	return WriteDerived(ctx, h, WaitingFile, w)
}

// On says whether the wait is on, as far as its keeper has said.
func (w Waiting) On() bool { return !w.Began.IsZero() && w.Text == "" }
