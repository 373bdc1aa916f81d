package debian

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/link"
	"rlb.dev/rlb-agent/render/vrrp"
)

// HearsRouter says whether another machine advertises itself under one of these identities, from one of these sources. It
// ends with the first advertisement, or after wait. A goodbye is none.
func (h *Host) HearsRouter(ctx context.Context, iface string, ids []vrrp.Identity, from []netip.Prefix, wait time.Duration) (bool, error) {
	return hears(ctx, only(from, link.HearAdverts), iface, ids, wait)
}

// AdvertsPass says whether another machine's advertisements under each of these identities, at least one, get through to
// keepalived. It ends with the first identity that does not come within three intervals: then a backup takes over
// (RFC 9568 §6.1, Active_Down_Interval).
func (h *Host) AdvertsPass(ctx context.Context, iface string, ids []vrrp.Identity) (bool, error) {
	return hearsEach(ctx, link.HearAdmitted, iface, ids)
}

func hearsEach(ctx context.Context, by ear, iface string, ids []vrrp.Identity) (bool, error) {
	for _, id := range ids {
		if heard, err := hears(ctx, by, iface, []vrrp.Identity{id}, 3*id.Period+lateness); err != nil || !heard {
			return false, err
		}
	}
	return len(ids) > 0, nil
}

// lateness is how much later than expected an advertisement may come on a busy machine.
const lateness = 50 * time.Millisecond

// ear is a way to hear the advertisements of one identity.
type ear func(ctx context.Context, iface string, id link.Identity, heard func(link.Advert)) error

// only hears what comes from one of these sources; without sources, everything.
func only(from []netip.Prefix, by ear) ear {
	return func(ctx context.Context, iface string, id link.Identity, heard func(link.Advert)) error {
		return by(ctx, iface, id, func(a link.Advert) {
			if len(from) == 0 || slices.ContainsFunc(from, func(p netip.Prefix) bool { return p.Contains(a.From) }) {
				heard(a)
			}
		})
	}
}

func hears(ctx context.Context, by ear, iface string, ids []vrrp.Identity, wait time.Duration) (bool, error) {
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

// HearRouter calls heard for each advertisement of another machine under one of these identities, from one of these
// sources, one at a time, until ctx ends.
func (h *Host) HearRouter(ctx context.Context, iface string, ids []vrrp.Identity, from []netip.Prefix, heard func(goodbye bool)) error {
	return refined(hear(ctx, only(from, link.HearAdverts), iface, ids, func(a link.Advert) { heard(a.Priority == 0) }))
}

// HearAdverts begins to hear the advertisements of another machine under an identity.
func (h *Host) HearAdverts(iface string, id vrrp.Identity) (host.AdvertEar, error) {
	e, err := link.OpenEar(iface, linkIdentity(id))
	if err != nil {
		return nil, refined(err)
	}
	return advertEar{e}, nil
}

// advertEar is a link.Ear in the words of package host.
type advertEar struct{ *link.Ear }

// Take is what has come in since the last call.
func (e advertEar) Take() (heard []host.Beat, lost bool, err error) {
	all, lost, err := e.Ear.Take()
	for _, b := range all {
		heard = append(heard, host.Beat{From: b.From, Priority: b.Priority, At: b.At})
	}
	return heard, lost, refined(err)
}

func linkIdentity(id vrrp.Identity) link.Identity {
	return link.Identity{Family: id.Family, Version: id.Version, RouterID: id.RouterID}
}

// TalkToAgents sends what comes by say to the agents on the link of an interface, and calls heard for what others send.
func (h *Host) TalkToAgents(ctx context.Context, iface string, say <-chan link.Message, heard func(mac string, message link.Message)) error {
	return refined(link.TalkToAgents(ctx, iface, say, func(mac net.HardwareAddr, message link.Message) { heard(mac.String(), message) }))
}

// hear calls heard for each advertisement of the identities, one at a time, until ctx ends.
func hear(ctx context.Context, by ear, iface string, ids []vrrp.Identity, heard func(link.Advert)) error {
	var all sync.WaitGroup
	var mutex sync.Mutex
	errs := make([]error, len(ids))
	for i, id := range ids {
		all.Go(func() {
			errs[i] = by(ctx, iface, linkIdentity(id), func(a link.Advert) {
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
