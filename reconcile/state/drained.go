package state

import (
	"context"
	"strings"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
)

// Drained says whether an administrator took this host out of the virtual router.
func Drained(ctx context.Context, o host.Observer) (bool, error) {
	f, err := o.File(ctx, render.DrainFile)
	text := strings.TrimSpace(string(f.Data))
	return text != "" && text != "0", err
}
