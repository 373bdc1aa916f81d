package host

import (
	"context"
	"errors"
	"sync"
	"time"

	"rlb.dev/rlb-agent/reconcile/host/wire"
	"rlb.dev/rlb-agent/render"
)

// HearsRouter says whether another machine advertises itself under one of these identities. It ends with the first
// advertisement, or after wait. A goodbye is none.
func (h *Host) HearsRouter(ctx context.Context, iface string, ids []render.Identity, wait time.Duration) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	heard := false
	err := hear(ctx, iface, ids, func(a wire.Advert) {
		if a.Priority > 0 {
			heard = true
			cancel()
		}
	})
	return heard, refined(err)
}

// AwaitSilence waits until no other machine advertises itself under these identities any more: silence long, or, where
// a goodbye is enough, after the first one.
func (h *Host) AwaitSilence(ctx context.Context, iface string, ids []render.Identity, silence time.Duration, goodbye bool) error {
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	timer := time.AfterFunc(silence, cancel)
	defer timer.Stop()
	err := hear(within, iface, ids, func(a wire.Advert) {
		if a.Priority == 0 && goodbye {
			cancel()
			return
		}
		timer.Reset(silence)
	})
	return errors.Join(refined(err), ctx.Err())
}

// hear calls heard for each advertisement of the identities, one at a time, until ctx ends.
func hear(ctx context.Context, iface string, ids []render.Identity, heard func(wire.Advert)) error {
	var all sync.WaitGroup
	var mutex sync.Mutex
	errs := make([]error, len(ids))
	for i, id := range ids {
		all.Go(func() {
			errs[i] = wire.HearAdverts(ctx, iface, wire.Identity{Family: id.Family, Version: id.Version, RouterID: id.RouterID}, func(a wire.Advert) {
				mutex.Lock()
				defer mutex.Unlock()
				said := id
				said.Unicast, said.Interval, said.Addresses = a.Unicast, a.Interval, a.Count
				if id.Covers(said) {
					heard(a)
				}
			})
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
