package state

import (
	"context"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
)

// Wait says that this host still serves its existing connections after it gave up the virtual IPs, until a deadline. The
// record exists from before the move until no connection is left. It does not survive a boot, because the connections do
// not either.
type Wait struct {
	Began time.Time `json:"began"` // distinguishes this wait from the next one
	Until time.Time `json:"until"`
}

// ReadWait reads the present wait; nil if there is none.
func ReadWait(ctx context.Context, o host.Observer) (*Wait, error) {
	w, err := ReadDerived[Wait](ctx, o, WaitFile)
	if err != nil || w.Began.IsZero() {
		return nil, err
	}
	return &w, nil
}

// Write begins the wait or changes its deadline.
func (w *Wait) Write(ctx context.Context, h host.Host) error {
	return WriteDerived(ctx, h, WaitFile, w)
}

// ForgetWait ends the wait.
func ForgetWait(ctx context.Context, h host.Host) error { return h.RemoveFile(ctx, WaitFile) }

// Waiting is the progress of a wait. The daemon writes it every second.
type Waiting struct {
	Wait
	Written time.Time `json:"written"`
	Moved   time.Time `json:"moved,omitzero"` // since when another host has the virtual IPs; zero before the move
	// Forwarded is until when the new holder forwards packets if no further heartbeat arrives, as of Written.
	Forwarded time.Time `json:"forwarded,omitzero"`

	First int `json:"first"` // connections at the move
	Left  int `json:"left"`  // connections left
	// Text says how the wait ended; "" while it lasts.
	Text   string `json:"text,omitempty"`
	Closed int    `json:"closed,omitempty"` // connections that were closed at the deadline
}

// ReadWaiting reads the progress of the present wait or the end of the last one; the zero value if there was none since the
// boot.
func ReadWaiting(ctx context.Context, o host.Observer) (Waiting, error) {
	return ReadDerived[Waiting](ctx, o, WaitingFile)
}

// Write writes the progress for the status and for the command that began the wait.
func (w Waiting) Write(ctx context.Context, h host.Host) error {
	return WriteDerived(ctx, h, WaitingFile, w)
}

// On reports whether the wait lasts, according to the last record.
func (w Waiting) On() bool { return !w.Began.IsZero() && w.Text == "" }
