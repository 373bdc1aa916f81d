package status

import (
	"context"
	"maps"
	"slices"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
)

// updates are the updates that a hold keeps away. To ask apt runs a command that is slow on a small machine. apt is
// asked only after a run, and only if its lists or the packages have changed since the last answer; else the last
// answer is used.
func (r *reading) updates(ctx context.Context, packages map[string]host.Package) *Updates {
	now := &Updates{Installed: map[string]string{}}
	for name, p := range packages {
		if p.Held && p.Version != "" {
			now.Installed[name] = p.Version
		}
	}
	if len(now.Installed) == 0 {
		return nil
	}
	known := r.last.Updates
	if known != nil && !maps.Equal(known.Installed, now.Installed) {
		known = nil
	}
	if !r.ended {
		return known
	}
	var since time.Time
	if known != nil {
		since = known.Lists
	}
	names := slices.Sorted(maps.Keys(now.Installed))
	offers, lists, err := r.o.Offers(ctx, since, names...)
	if err != nil {
		r.note("updates of the held packages", err)
		return known
	}
	if known != nil && !lists.After(since) {
		return known
	}
	now.Lists = lists
	for _, name := range names {
		if offer := offers[name]; offer.Version != "" && offer.Version != now.Installed[name] {
			now.HeldBack = append(now.HeldBack, HeldUpdate{name, now.Installed[name], offer.Version, offer.Security})
		}
	}
	return now
}
