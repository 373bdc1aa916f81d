package failover

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"rlb.dev/rlb-agent/reconcile/backoff"
)

// splitBrain is what ownership knows of other hosts that hold the virtual IPs while this one is MASTER. keepalived finds
// them by their advertisements, and all but one become BACKUP within an interval. Where advertisements do not pass but
// frames do, they would stay MASTER: then those with a lower MAC stand down, which each knows without a message.
type splitBrain struct {
	unwatching       func()        // ends the watch for claims; nil without one
	claims           chan struct{} // another host says that it holds one of them
	announceRequests chan struct{} // … says so to this host alone: it asks for gratuitous ARP

	ask        time.Time // when to ask who else holds them; zero is not
	asking     bool      // … is under way
	answers    chan answer
	answeredAt time.Time // the last time

	requests sync.WaitGroup // for gratuitous ARP, under way

	heard    bool            // a claim came since nobody else held them
	verdicts []verdict       // on the other holders that answered in this conflict; none: there is no conflict
	told     bool            // health knows of it
	recall   backoff.Backoff // until the one that stays MASTER asks again
}

// verdict is what another holder means for this host, whichever of several it is.
type verdict struct {
	who   string // kind of host
	loses bool   // this host, which is to stand down
}

func newSplitBrain() splitBrain {
	return splitBrain{
		claims: make(chan struct{}, 1), announceRequests: make(chan struct{}, 1), answers: make(chan answer, 1),
		recall: backoff.Backoff{First: 200 * time.Millisecond, Most: time.Minute},
	}
}

// watch sees to it that claims of other hosts are heard.
func (o *ownership) watch(ctx context.Context) {
	if o.unwatching != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	iface, addrs := o.spec.Interface, slices.Clone(o.spec.VirtualIPs)
	watch := func(ctx context.Context) error {
		return o.host.WatchHolders(ctx, iface, addrs, func(toUsAlone bool) {
			if toUsAlone {
				ring(o.announceRequests)
				return
			}
			ring(o.claims)
		})
	}
	go func() {
		defer close(done)
		rewatch().Repeat(ctx, watch, func(err error) { o.log.Debug("cannot watch for other holders", "err", err) })
	}()
	o.unwatching = func() { cancel(); <-done }
}

func (o *ownership) unwatch() {
	if o.unwatching != nil {
		o.unwatching()
		o.unwatching = nil
	}
}

// claimed gives keepalived the time to become BACKUP by itself, as at the end of every failover. Without a keepalived
// here, the other host has taken over.
func (o *ownership) claimed() {
	if !o.down.IsZero() {
		o.check = time.Now()
		return
	}
	o.heard = true
	o.askBy(time.Now().Add(o.spec.Takeover))
}

// announceRequested announces the virtual IPs at once: the other host holds them no more, and neighbours look for them
// there. What comes while this host asks, or has just asked, is an answer and no request.
func (o *ownership) announceRequested() {
	if len(o.held) == 0 || !o.down.IsZero() || o.asking || time.Since(o.answeredAt) < settleTime {
		return
	}
	o.announce()
	o.askBy(time.Now().Add(o.spec.Takeover))
}

func (o *ownership) askBy(at time.Time) {
	if o.ask.IsZero() || at.Before(o.ask) {
		o.ask = at
	}
}

// holdNone is where this host holds none of them: it cannot be in conflict.
func (o *ownership) holdNone(ctx context.Context) {
	o.unwatch()
	o.ask, o.heard = time.Time{}, false
	o.conflictOver(ctx)
}

// conflictOver forgets the other holders.
func (o *ownership) conflictOver(ctx context.Context) {
	o.verdicts = nil
	if o.told && !o.standingDown {
		o.told = false
		o.log.Info("no other host holds the virtual IPs any more")
		send(ctx, o.conflicts, conflict{})
	}
}

// answer is who else holds the addresses that were asked for.
type answer struct {
	asked []netip.Addr
	macs  map[netip.Addr]string
	err   error
}

// askOthers begins to ask who else holds the virtual IPs. What happens meanwhile does not wait for it.
func (o *ownership) askOthers(ctx context.Context) {
	if !due(o.ask) {
		return
	}
	if o.ask = (time.Time{}); len(o.held) == 0 || !o.down.IsZero() {
		return
	}
	if o.asking {
		o.ask = time.Now().Add(settleTime)
		return
	}
	o.asking = true
	var a answer
	for _, p := range o.held {
		a.asked = append(a.asked, p.Addr())
	}
	iface, all := o.spec.Interface, slices.Concat(a.asked, o.spec.Peers)
	go func() {
		a.macs, a.err = o.host.Neighbours(ctx, iface, all)
		o.answers <- a
	}()
}
