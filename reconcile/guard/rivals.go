package guard

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
)

const (
	firstRecall = 200 * time.Millisecond // until the one that stays master looks whether the other still holds them; doubles …
	lastRecall  = time.Minute            // … up to this
	watchPause  = time.Second            // until a watch that failed begins again
)

// rivals is what a Holder knows of other hosts that hold the virtual IPs while this one is master. keepalived finds
// them by their advertisements and one of the two gives way within an interval. Where advertisements do not pass, but
// frames do, both would stay: then the one with the lower MAC gives way, which both know without a word.
type rivals struct {
	unwatching func()        // ends the watch for claims; nil without one
	claims     chan struct{} // somebody else says that it holds one of them
	reminders  chan struct{} // … says it to this host alone

	ask     time.Time   // when to ask who else holds them; zero is not
	asking  bool        // … is under way
	answers chan answer // to that
	knew    time.Time   // when the last one came

	reminding sync.WaitGroup

	heard  bool          // a claim came since nobody else held them
	seen   string        // MAC of the other one, "" is none
	told   bool          // the Guard knows of it
	recall time.Duration // until it is asked again

	outside
}

// watch sees to it that claims of others are heard.
func (h *Holder) watch(ctx context.Context) {
	if h.unwatching != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	iface, addrs := h.force.Interface, slices.Clone(h.force.VirtualIPs)
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			err := h.Watch(ctx, iface, addrs, func(reminder bool) {
				news := h.claims
				if reminder {
					news = h.reminders
				}
				select {
				case news <- struct{}{}:
				default:
				}
			})
			if err != nil {
				h.Log.Debug("cannot watch for other holders", "err", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(watchPause):
			}
		}
	}()
	h.unwatching = func() { cancel(); <-done }
}

func (h *Holder) unwatch() {
	if h.unwatching != nil {
		h.unwatching()
		h.unwatching = nil
	}
}

// claimed gives keepalived the time to end it by itself; so ends also every failover, for the one that lost. Without a
// keepalived the other one has taken over.
func (h *Holder) claimed() {
	if !h.down.IsZero() {
		h.due = time.Now()
		return
	}
	h.heard = true
	h.askBy(time.Now().Add(h.force.Takeover))
}

// reminded announces the virtual IPs at once: the other one holds them no more, and neighbours look for them there. What
// comes while this host asks, or has just asked, is an answer.
func (h *Holder) reminded() {
	if len(h.held) == 0 || !h.down.IsZero() || h.asking || time.Since(h.knew) < settleTime {
		return
	}
	h.announce()
	h.askBy(time.Now().Add(h.force.Takeover))
}

func (h *Holder) askBy(at time.Time) {
	if h.ask.IsZero() || at.Before(h.ask) {
		h.ask = at
	}
}

// lost is where this host holds none: there are no rivals then.
func (h *Holder) lost(ctx context.Context) {
	h.unwatch()
	h.ask, h.heard = time.Time{}, false
	h.alone(ctx)
}

// alone forgets the other one.
func (h *Holder) alone(ctx context.Context) {
	h.seen = ""
	if h.told && !h.out {
		h.told = false
		h.Log.Info("no other host holds the virtual IPs any more")
		h.Tell(ctx, Conflict{})
	}
}

// answer is who else holds the addresses that were asked for.
type answer struct {
	asked []netip.Addr
	macs  map[netip.Addr]string
	err   error
}

// contend begins to ask who else holds the virtual IPs. What happens meanwhile does not wait for it.
func (h *Holder) contend(ctx context.Context) {
	if !reached(h.ask) {
		return
	}
	if h.ask = (time.Time{}); len(h.held) == 0 || !h.down.IsZero() {
		return
	}
	if h.asking {
		h.ask = time.Now().Add(settleTime)
		return
	}
	h.asking = true
	var a answer
	for _, p := range h.held {
		a.asked = append(a.asked, p.Addr())
	}
	iface, all := h.force.Interface, slices.Concat(a.asked, h.force.Peers)
	go func() {
		a.macs, a.err = h.Neighbours(ctx, iface, all)
		h.answers <- a
	}()
}

// answered judges whether another host holds the virtual IPs while this one is master.
func (h *Holder) answered(ctx context.Context, a answer) {
	h.asking, h.knew = false, time.Now()
	h.cannot(a.err)
	at := slices.IndexFunc(a.asked, func(addr netip.Addr) bool { return a.macs[addr] != "" })
	if a.err != nil || len(h.held) == 0 || !h.down.IsZero() || at < 0 && !h.heard && h.seen == "" {
		return
	}
	role, err := h.Role(ctx)
	h.cannot(err)
	if errors.Is(err, host.ErrNoAnswer) && at >= 0 && h.force.Tracks && !h.stranger(a.macs[a.asked[at]], a.macs) {
		h.Log.Warn(fmt.Sprintf("keepalived hangs, and another host, MAC %s, has taken over: killing it", a.macs[a.asked[at]]))
		h.heard = true // of that one: what is left behind goes at once
		h.cannot(h.Kill(ctx))
		return
	}
	if h.look(ctx); role != host.RoleMaster || len(h.held) == 0 {
		if role == host.RoleUnknown && h.retry <= lastRetry { // too young to be asked
			h.askBy(time.Now().Add(firstRetry))
		}
		return
	}
	if at < 0 {
		h.announce() // neighbours that believed the other one learn better
		h.heard = false
		h.alone(ctx)
		return
	}
	h.meet(ctx, a.asked[at], a.macs)
}

// meet decides who of the two holders stays.
func (h *Holder) meet(ctx context.Context, addr netip.Addr, macs map[netip.Addr]string) {
	own, err := h.MAC(h.force.Interface)
	if err != nil {
		h.cannot(err)
		return
	}
	other := macs[addr]
	who, yield := "another host", h.force.Tracks && own < other
	if h.stranger(other, macs) {
		who, yield = "a host that is none of the spec's nodes", false
	}
	text := fmt.Sprintf("%s, MAC %s, holds %s too, and VRRP between the two does not pass: look at firewalls and switches", who, other, addr)
	switch known := h.seen == other; {
	case !known: // a look more: one of the two may be about to go
		h.seen, h.recall = other, firstRecall
		h.askBy(time.Now().Add(secondLook))
	case yield:
		h.yield(ctx, text)
		return
	case !h.told:
		h.told = true
		h.Log.Warn(text)
		h.Tell(ctx, Conflict{Text: text})
		fallthrough
	default:
		h.askBy(time.Now().Add(h.recall))
		h.recall = min(2*h.recall, lastRecall)
	}
	if !yield {
		h.announce() // so that its agent hears of us, and neighbours learn the right way
	}
}

// stranger says that a MAC is no peer's, where all peers are known and answered.
func (h *Holder) stranger(mac string, macs map[netip.Addr]string) bool {
	for _, peer := range h.force.Peers {
		if macs[peer] == "" || macs[peer] == mac {
			return false
		}
	}
	return len(h.force.Peers) > 0
}

// remind makes the one who holds the virtual IPs now announce them. Of two masters that meet after a partition the one
// that goes without having been heard leaves neighbours behind who still look for them here; that one does not know.
func (h *Holder) remind(ctx context.Context) {
	iface, addrs := h.force.Interface, slices.Clone(h.force.VirtualIPs)
	h.reminding.Go(func() {
		macs, err := h.Neighbours(ctx, iface, addrs)
		for addr, mac := range macs {
			if err == nil {
				err = h.Remind(iface, addr, mac)
			}
		}
		if err != nil {
			h.Log.Debug("cannot remind who holds the virtual IPs", "err", err)
		}
	})
}

func (h *Holder) announce() {
	for _, p := range h.held {
		h.cannot(h.Announce(h.force.Interface, p.Addr()))
	}
}
