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

// HearsRouter says whether another machine sends advertisements with one of these identities, from one of these sources. It
// returns at the first one, or after wait. Priority 0 does not count.
func (h *Host) HearsRouter(ctx context.Context, iface string, ids []vrrp.Identity, from []netip.Prefix, wait time.Duration) (bool, error) {
	return hears(ctx, only(from, link.HearAdverts), iface, ids, wait)
}

// AdvertsPass says whether another machine's advertisements with each of these identities, at least one, reach keepalived.
// It returns at the first identity that is not received within three intervals, because a backup then takes over (RFC 9568
// §6.1, Active_Down_Interval).
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

// lateness is how much later than expected an advertisement can arrive on a busy machine.
const lateness = 50 * time.Millisecond

// ear is a function that receives the advertisements of one identity.
type ear func(ctx context.Context, iface string, id link.Identity, heard func(link.Advert)) error

// only passes on advertisements from one of these sources; without sources, all.
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

// HearRouter calls heard for each advertisement of another machine with one of these identities, from one of these sources,
// one call at a time, until ctx ends. goodbye: priority 0.
func (h *Host) HearRouter(ctx context.Context, iface string, ids []vrrp.Identity, from []netip.Prefix, heard func(goodbye bool)) error {
	return refined(hear(ctx, only(from, link.HearAdverts), iface, ids, func(a link.Advert) { heard(a.Priority == 0) }))
}

// HearAdverts starts to receive the advertisements of other machines with an identity.
func (h *Host) HearAdverts(iface string, id vrrp.Identity) (host.AdvertEar, error) {
	e, err := link.OpenEar(iface, linkIdentity(id))
	if err != nil {
		return nil, refined(err)
	}
	return advertEar{e}, nil
}

// advertEar adapts a link.Ear to package host.
type advertEar struct{ *link.Ear }

// Take returns the advertisements since the last call.
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

// TalkToAgents sends the messages from say to the agents on the link of an interface, and calls heard for each message of
// another agent.
func (h *Host) TalkToAgents(ctx context.Context, iface string, say <-chan link.Message, heard func(mac string, message link.Message)) error {
	return refined(link.TalkToAgents(ctx, iface, say, func(mac net.HardwareAddr, message link.Message) { heard(mac.String(), message) }))
}

// hear calls heard for each advertisement of the identities, one call at a time, until ctx ends.
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
