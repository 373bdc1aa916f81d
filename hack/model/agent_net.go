package model

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/wake"
	"rlb.dev/rlb-agent/render/vrrp"
)

// The timeouts for answers from the LAN, as in reconcile/host/debian: neighbourPatience, probePatience and lateness there.
const (
	neighbourPatience = 300 * time.Millisecond
	replyPatience     = 200 * time.Millisecond
	lateness          = 50 * time.Millisecond
)

// Interfaces returns the interface of the host.
func (a *agent) Interfaces(ctx context.Context) (all []host.Interface, err error) {
	err = a.call(ctx, quickly/4, quickly, func() {
		i := host.Interface{Name: a.m.force.Interface, Prefixes: []netip.Prefix{netip.PrefixFrom(a.m.addr, 24)}}
		if a.m.vip {
			i.Prefixes = append(i.Prefixes, netip.PrefixFrom(vip, 32))
		}
		all = []host.Interface{i}
	})
	return all, err
}

// MAC returns the MAC of the host.
func (a *agent) MAC(string) (string, error) { return a.m.mac, nil }

// RemoveAddress removes the virtual IP.
func (a *agent) RemoveAddress(ctx context.Context, _ string, p netip.Prefix) error {
	return a.call(ctx, quickly/4, quickly, func() {
		if p.Addr() == vip {
			a.m.removed()
		}
	})
}

// WatchAddresses calls changed when addresses change.
func (a *agent) WatchAddresses(ctx context.Context, changed func()) error {
	bell := make(chan struct{}, 1)
	bell <- struct{}{}
	if err := a.do(func() { a.m.bells = append(a.m.bells, bell) }); err != nil {
		return err
	}
	defer func() {
		a.m.Lock()
		defer a.m.Unlock()
		a.m.bells = slices.DeleteFunc(a.m.bells, func(other chan<- struct{}) bool { return other == bell })
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-bell:
			a.spend(ctx, quickly/4, quickly)
			changed()
		}
	}
}

// asking sends a question twice, as package link does. It calls hear for each frame until hear returns true or the time is
// over.
func (a *agent) asking(ctx context.Context, wait time.Duration, ask func(), hear func(frame) (enough bool)) error {
	enough := make(chan struct{}, 1)
	end := func() {}
	if err := a.call(ctx, quickly/4, quickly, func() {
		end = a.m.listen(false, func(f frame) {
			if hear(f) {
				wake.Up(enough)
			}
		})
	}); err != nil {
		return err
	}
	defer func() { a.m.Lock(); defer a.m.Unlock(); end() }()
	for range 2 {
		if err := a.do(ask); err != nil {
			return err
		}
		half, cancel := context.WithTimeout(ctx, wait/2)
		select {
		case <-enough:
			cancel()
			a.gate(ctx)
			return nil
		case <-half.Done():
			cancel()
			a.gate(ctx)
		}
	}
	return ctx.Err()
}

// Neighbours asks by ARP for the MACs of addresses.
func (a *agent) Neighbours(ctx context.Context, iface string, addrs []netip.Addr) (map[netip.Addr]string, error) {
	return a.OtherNeighbours(ctx, iface, addrs, nil)
}

// OtherNeighbours is Neighbours without the answers of some MACs.
func (a *agent) OtherNeighbours(ctx context.Context, _ string, addrs []netip.Addr, without []string) (map[netip.Addr]string, error) {
	return a.neighbours(ctx, addrs, without, neighbourPatience, len(addrs))
}

// AnyAnswers ends with the first answer.
func (a *agent) AnyAnswers(ctx context.Context, _ string, addrs []netip.Addr, wait time.Duration) (bool, error) {
	found, err := a.neighbours(ctx, addrs, nil, wait, 1)
	return len(found) > 0, err
}

func (a *agent) neighbours(ctx context.Context, addrs []netip.Addr, without []string, wait time.Duration, need int) (map[netip.Addr]string, error) {
	found := map[netip.Addr]string{}
	err := a.asking(ctx, wait, func() {
		for _, addr := range addrs {
			if found[addr] == "" {
				a.m.send(frame{kind: whoHas, from: a.m.mac, addr: addr})
			}
		}
	}, func(f frame) bool {
		if f.kind == claim && slices.Contains(addrs, f.addr) && found[f.addr] == "" && !slices.Contains(without, f.from) {
			found[f.addr] = f.from
		}
		return len(found) >= need
	})
	a.m.Lock()
	defer a.m.Unlock()
	return maps.Clone(found), err
}

// ProbeServices sends a connection request to each endpoint.
func (a *agent) ProbeServices(ctx context.Context, _ string, at []host.Endpoint) ([]host.Reply, error) {
	replies := make([]host.Reply, len(at))
	for i, e := range at { // one after the other: more than one rival is rare
		var number uint64
		err := a.asking(ctx, replyPatience, func() {
			if number == 0 {
				a.m.requests++
				number = a.m.requests
			}
			a.m.send(frame{kind: syn, from: a.m.mac, to: e.MAC, addr: e.At.Addr(), number: number})
		}, func(f frame) bool {
			if f.number != number || number == 0 || f.kind != accepted && f.kind != refused {
				return false
			}
			replies[i] = map[kind]host.Reply{accepted: host.Accepted, refused: host.Refused}[f.kind]
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	a.m.Lock()
	defer a.m.Unlock()
	return slices.Clone(replies), nil
}

// WatchHolders calls claimed when another station claims the virtual IP.
func (a *agent) WatchHolders(ctx context.Context, _ string, addrs []netip.Addr, claimed func(toUsAlone bool)) error {
	return a.hearEach(ctx, 100, func(f frame) (toUsAlone, ok bool) {
		return f.to != "", f.kind == claim && slices.Contains(addrs, f.addr)
	}, claimed)
}

// hearEach calls heard for each frame that counts, with the said value of that frame, until ctx ends. The socket has room for
// so many frames.
func (a *agent) hearEach(ctx context.Context, room int, says func(frame) (said, counts bool), heard func(said bool)) error {
	came := make(chan bool, room)
	end := func() {}
	if err := a.call(ctx, quickly/4, quickly, func() {
		end = a.m.listen(false, func(f frame) {
			if said, counts := says(f); counts {
				select {
				case came <- said:
				default: // the socket is full
				}
			}
		})
	}); err != nil {
		return err
	}
	defer func() { a.m.Lock(); defer a.m.Unlock(); end() }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case said := <-came:
			a.spend(ctx, quickly/4, quickly)
			heard(said)
		}
	}
}

// Announce sends gratuitous ARP twice, as a request and as an answer (link.Announce).
func (a *agent) Announce(iface string, addrs []netip.Addr) error {
	return a.AnnounceTo(iface, addrs, "")
}

// AnnounceTo sends gratuitous ARP to one host.
func (a *agent) AnnounceTo(_ string, _ []netip.Addr, mac string) error {
	return a.call(context.Background(), quickly/4, quickly, func() {
		for range 2 {
			a.m.announce(mac)
		}
	})
}

// EndSessions does nothing, because the model has no connections.
func (a *agent) EndSessions(context.Context, []netip.Addr, []uint16) (int, error) { return 0, nil }

// HearsRouter listens for advertisements before the firewall.
func (a *agent) HearsRouter(ctx context.Context, _ string, ids []vrrp.Identity, from []netip.Prefix, wait time.Duration) (bool, error) {
	return a.hears(ctx, false, ids, from, wait)
}

// AdvertsPass listens for advertisements after the firewall.
func (a *agent) AdvertsPass(ctx context.Context, _ string, ids []vrrp.Identity) (bool, error) {
	return a.hears(ctx, true, ids[:1], nil, 3*ids[0].Period+lateness)
}

// isOf says whether a frame advertises one of these identities, and comes from one of these sources.
func (f frame) isOf(ids []vrrp.Identity, from []netip.Prefix) bool {
	return f.kind == advert && slices.ContainsFunc(ids, func(id vrrp.Identity) bool { return id.RouterID == f.router }) &&
		(len(from) == 0 || slices.ContainsFunc(from, func(p netip.Prefix) bool { return p.Contains(f.sender) }))
}

func (a *agent) hears(ctx context.Context, admitted bool, ids []vrrp.Identity, from []netip.Prefix, wait time.Duration) (bool, error) {
	heard := make(chan struct{}, 1)
	end := func() {}
	if err := a.call(ctx, quickly/4, quickly, func() {
		end = a.m.listen(admitted, func(f frame) {
			if f.isOf(ids, from) && f.priority > 0 {
				wake.Up(heard)
			}
		})
	}); err != nil {
		return false, err
	}
	defer func() { a.m.Lock(); defer a.m.Unlock(); end() }()
	timeout, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	defer a.gate(ctx)
	select {
	case <-heard:
		return true, nil
	case <-timeout.Done():
		return false, nil
	}
}

// HearRouter listens for advertisements before the firewall until ctx ends.
func (a *agent) HearRouter(ctx context.Context, _ string, ids []vrrp.Identity, from []netip.Prefix, heard func(goodbye bool)) error {
	return a.hearEach(ctx, socketRoom, func(f frame) (goodbye, ok bool) { return f.priority == 0, f.isOf(ids, from) }, heard)
}
