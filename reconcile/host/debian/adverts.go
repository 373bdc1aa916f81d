package debian

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"rlb.dev/rlb-agent/reconcile/host/link"
	"rlb.dev/rlb-agent/render"
)

// HearsRouter says whether another machine advertises itself under one of these identities. It ends with the first
// advertisement, or after wait. A goodbye is none.
func (h *Host) HearsRouter(ctx context.Context, iface string, ids []render.Identity, wait time.Duration) (bool, error) {
	return hears(ctx, link.HearAdverts, iface, ids, wait)
}

// AdvertsPass says whether another machine's advertisements under each of these identities, at least one, get through to
// keepalived. It ends with the first identity that does not come within three intervals: then a backup takes over
// (RFC 9568 §6.1, Active_Down_Interval).
func (h *Host) AdvertsPass(ctx context.Context, iface string, ids []render.Identity) (bool, error) {
	return hearsEach(ctx, link.HearAdmitted, iface, ids)
}

func hearsEach(ctx context.Context, by ear, iface string, ids []render.Identity) (bool, error) {
	for _, id := range ids {
		if heard, err := hears(ctx, by, iface, []render.Identity{id}, 3*id.Period+lateness); err != nil || !heard {
			return false, err
		}
	}
	return len(ids) > 0, nil
}

// lateness is how much later than expected an advertisement may come on a busy machine.
const lateness = 50 * time.Millisecond

// ear is a way to hear the advertisements of one identity.
type ear func(ctx context.Context, iface string, id link.Identity, heard func(link.Advert)) error

func hears(ctx context.Context, by ear, iface string, ids []render.Identity, wait time.Duration) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	heard := false
	err := hear(ctx, by, iface, ids, func(a link.Advert) {
		if a.Priority > 0 {
			heard = true
			cancel()
		}
	})
	return heard, refined(err)
}

// AwaitSilence waits until no other machine advertises itself under these identities any more: silence long, or, after a
// goodbye, as long as a backup may take to advertise itself in turn; 0 is that there is no backup.
func (h *Host) AwaitSilence(ctx context.Context, iface string, ids []render.Identity, silence, afterGoodbye time.Duration) error {
	return awaitSilence(ctx, link.HearAdverts, iface, ids, silence, afterGoodbye)
}

func awaitSilence(ctx context.Context, by ear, iface string, ids []render.Identity, silence, afterGoodbye time.Duration) error {
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	timer := time.AfterFunc(silence, cancel)
	defer timer.Stop()
	err := hear(within, by, iface, ids, func(a link.Advert) {
		if a.Priority == 0 {
			timer.Reset(afterGoodbye)
			return
		}
		timer.Reset(silence)
	})
	return errors.Join(refined(err), ctx.Err())
}

// TalkToAgents sends what comes by say to the agents on the link of an interface, and calls heard for what others send.
func (h *Host) TalkToAgents(ctx context.Context, iface string, say <-chan []byte, heard func(mac string, message []byte)) error {
	return refined(link.TalkToAgents(ctx, iface, say, func(mac net.HardwareAddr, message []byte) { heard(mac.String(), message) }))
}

// hear calls heard for each advertisement of the identities, one at a time, until ctx ends.
func hear(ctx context.Context, by ear, iface string, ids []render.Identity, heard func(link.Advert)) error {
	var all sync.WaitGroup
	var mutex sync.Mutex
	errs := make([]error, len(ids))
	for i, id := range ids {
		all.Go(func() {
			errs[i] = by(ctx, iface, link.Identity{Family: id.Family, Version: id.Version, RouterID: id.RouterID}, func(a link.Advert) {
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
