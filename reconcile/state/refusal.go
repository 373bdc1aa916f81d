package state

import (
	"context"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
)

// Refusal is a spec that was refused or rolled back. The daemon does not try it again until it changes, or somebody
// asks for it. The file is derived from what the daemon knows, for the one that is started after it: where it is lost
// that one tries the spec once more. It does not outlive the boot: what was refused may be good after it.
type Refusal struct {
	Digest string    `json:"digest"` // of the spec
	Agent  string    `json:"agent"`  // another version may render it otherwise
	Time   time.Time `json:"time"`
	Why    string    `json:"why"`
	// Passing is that the cause is on this host, not in the spec, and may go: a port that a program holds, an address that
	// a machine has.
	Passing bool `json:"passing,omitempty"`
}

// Error is why it was refused.
func (r *Refusal) Error() string { return r.Why }

// ReadRefusal is the refusal that was left; nil where there is none.
func ReadRefusal(ctx context.Context, o host.Observer) (*Refusal, error) {
	r, err := ReadDerived[Refusal](ctx, o, RefusedFile)
	if err != nil || r.Digest == "" {
		return nil, err
	}
	return &r, nil
}

// Write leaves the refusal for a daemon that is started later.
func (r *Refusal) Write(ctx context.Context, h host.Host) error {
	return WriteDerived(ctx, h, RefusedFile, r)
}

// Forget removes it: its spec came into force, or another one did.
func (r *Refusal) Forget(ctx context.Context, h host.Host) error {
	return h.RemoveFile(ctx, RefusedFile)
}
