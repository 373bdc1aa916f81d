package state

import (
	"context"
	"strings"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
)

// Drained reports whether an administrator took this host out of the virtual router.
func Drained(ctx context.Context, o host.Observer) (bool, error) {
	f, err := o.File(ctx, render.DrainFile)
	text := strings.TrimSpace(string(f.Data))
	return text != "" && text != "0", err
}

// DrainRecord holds when this host was drained and by which user. Both are zero if they are not known.
type DrainRecord struct {
	Since   time.Time `json:"since,omitzero"`
	By      string    `json:"by,omitempty"`
	Upgrade bool      `json:"upgrade,omitempty"` // the drain is part of an upgrade, which ends it
}

// ReadDrain reads the record of a drain; the zero value if there is none.
func ReadDrain(ctx context.Context, o host.Observer) (DrainRecord, error) {
	return ReadDerived[DrainRecord](ctx, o, DrainedFile)
}

// Write writes the record for the status.
func (r DrainRecord) Write(ctx context.Context, h host.Host) error {
	return WriteDerived(ctx, h, DrainedFile, r)
}

// ForgetDrain removes the record.
func ForgetDrain(ctx context.Context, h host.Host) error { return h.RemoveFile(ctx, DrainedFile) }
