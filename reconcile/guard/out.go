package guard

import (
	"context"
	"net/netip"
	"slices"
	"time"
)

const (
	pollPause   = time.Second     // between two looks of the one that stays out
	enoughPolls = 2               // that find nobody who holds the virtual IPs: then it is needed
	upTime      = 2 * time.Second // in which keepalived is a backup, beside twice the time of a takeover
	inVain      = 5 * time.Minute // for how long hearing the other is no reason to come back where it led to the next conflict
)

// outside is what a Holder knows while this host stays out for another one. To come back without having heard that one
// would be to hold the virtual IPs beside it again.
type outside struct {
	out   bool      // this host stays out
	poll  time.Time // when to look again
	empty int       // polls in a row that found nobody

	listening bool         // for the other's advertisements
	passes    chan passage // … and what came of it
	back      time.Time    // when they last made this host come back
	deaf      time.Time    // until when they do not
}

// passage is whether the other's advertisements get through.
type passage struct {
	all bool
	err error
}

// yield keeps this host out. One that met the other again as soon as it came back is not heard by it, or has a keepalived
// that does not heed what it hears.
func (h *Holder) yield(ctx context.Context, text string) {
	now := time.Now()
	if now.Sub(h.back) < 2*h.force.Takeover+upTime {
		h.deaf = now.Add(inVain)
	}
	h.out, h.poll, h.empty, h.told = true, now.Add(pollPause), 0, true
	h.Tell(ctx, Conflict{Text: text, Yield: true})
}

// stayOut looks whether nobody else holds the virtual IPs, and begins to listen whether VRRP passes again.
func (h *Holder) stayOut(ctx context.Context) {
	if !h.out || !reached(h.poll) {
		return
	}
	if !h.listening && !time.Now().Before(h.deaf) {
		h.listening = true
		force := h.force
		go func() {
			all, err := h.Passes(ctx, force)
			h.passes <- passage{all, err}
		}()
	}
	macs, err := h.Neighbours(ctx, h.force.Interface, slices.Concat(h.force.VirtualIPs, h.force.Peers))
	h.cannot(err)
	h.poll = time.Now().Add(pollPause)
	h.empty++
	if err != nil || slices.ContainsFunc(h.force.VirtualIPs, func(vip netip.Addr) bool { return macs[vip] != "" && !h.stranger(macs[vip], macs) }) {
		h.empty = 0
	}
	if h.empty >= enoughPolls {
		h.Log.Warn("nobody else holds the virtual IPs any more: this host does not stay out")
		h.comeBack(ctx)
	}
}

// listened ends it where keepalived will be a backup, since it hears the other one.
func (h *Holder) listened(ctx context.Context, p passage) {
	h.listening = false
	h.cannot(p.err)
	if h.out && p.all {
		h.Log.Info("VRRP of the other host comes through again: this host does not stay out")
		h.back = time.Now()
		h.comeBack(ctx)
	}
}

func (h *Holder) comeBack(ctx context.Context) {
	h.out, h.poll, h.told = false, time.Time{}, false
	h.Tell(ctx, Conflict{})
}
