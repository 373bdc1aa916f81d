package state

import (
	"context"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
)

// Refusal is a spec that was refused or rolled back. The daemon does not try it again until the spec changes or a user asks
// for it. The file is derived; it is written for the next daemon process. If the file is lost, that process tries the spec
// once more. The file does not survive a boot, because the spec may be good after the boot.
type Refusal struct {
	Digest string    `json:"digest"` // of the spec
	Agent  string    `json:"agent"`  // another version may render the spec differently
	Time   time.Time `json:"time"`
	Why    string    `json:"why"`
	// Passing means that the cause is on this host, not in the spec, and may pass: a port that a program uses, an address
	// that another machine has.
	Passing bool `json:"passing,omitempty"`
	// ForNow means that the spec was tried and undone, and that the cause may go away without a change of the spec, such
	// as a full disk (host.IsForNow).
	ForNow bool `json:"forNow,omitempty"`
}

// Error says why the spec was refused.
func (r *Refusal) Error() string { return r.Why }

// ReadRefusal reads the refusal; nil if there is none.
func ReadRefusal(ctx context.Context, o host.Observer) (*Refusal, error) {
	r, err := ReadDerived[Refusal](ctx, o, RefusedFile)
	if err != nil || r.Digest == "" {
		return nil, err
	}
	return &r, nil
}

// Write writes the refusal for a daemon that is started later.
func (r *Refusal) Write(ctx context.Context, h host.Host) error {
	return WriteDerived(ctx, h, RefusedFile, r)
}

// Forget removes the refusal: this or another spec came into force.
func (r *Refusal) Forget(ctx context.Context, h host.Host) error {
	return h.RemoveFile(ctx, RefusedFile)
}
