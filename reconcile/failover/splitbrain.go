package failover

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"rlb.dev/rlb-agent/reconcile/backoff"
)

const (
	announcePause = time.Second           // between two announcements of the virtual IPs, and between two requests for them
	claimPause    = 20 * time.Millisecond // between two claims that are looked at
	hangPause     = 30 * time.Millisecond // after a claim, in which a keepalived that is well has given way
	hungTime      = 2 * time.Second       // in which the agent of a host whose keepalived hangs, and is busy, has killed it
	freshTime     = time.Second           // after a takeover
	provenTime    = 2 * time.Second       // for which a host that was seen to serve is taken to
	warnPause     = time.Minute           // between two lines in the log on who answers for the virtual IPs
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
	hang       time.Time // when to ask that because keepalived may hang, whatever is under way; zero is not
	hangAsking bool      // … is under way
	hangAsked  time.Time // the last time
	answers    chan answer
	answeredAt time.Time // the last time

	underway    sync.WaitGroup // searches for a rival, and requests for gratuitous ARP
	requested   time.Time      // the last time
	endRequests func()         // ends them; nil where none was begun since this host held them last
	announced   time.Time      // when this host announced the virtual IPs last
	announceAt  time.Time      // when to do so again; zero is not

	heard    bool            // a claim came since nobody else answered for them
	proven   time.Time       // when another host was last seen to serve at them
	since    time.Time       // when the present conflict began
	rival    string          // MAC of the other machine that answers for them; "" is none
	verdicts []verdict       // on those that served in this conflict
	told     conflict        // what health knows of it
	warned   time.Time       // when it was last logged
	warnedOf bool            // the present one was
	recall   backoff.Backoff // until the one that stays MASTER asks again
}

// verdict is what another holder means for this host, whichever of several it is.
type verdict struct {
	stranger bool // none of the spec's nodes
	loses    bool // this host, which is to stand down
}

func newSplitBrain() splitBrain {
	return splitBrain{
		claims: make(chan struct{}, 1), announceRequests: make(chan struct{}, 1), answers: make(chan answer, 2),
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
		request, claim := seldom(o.announceRequests, claimPause), seldom(o.claims, claimPause)
		return o.host.WatchHolders(ctx, iface, addrs, func(toUsAlone bool) {
			if toUsAlone {
				request()
				return
			}
			claim()
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
// here, the other host may have taken over.
func (o *ownership) claimed() {
	if !o.down.IsZero() {
		o.askBy(time.Now())
		o.checkProven()
		return
	}
	o.heard = true
	o.askBy(time.Now().Add(o.spec.Takeover))
	if now := time.Now(); o.spec.Tracks && o.hang.IsZero() && !o.hangAsking && now.Sub(o.hangAsked) >= announcePause {
		o.hang = now.Add(hangPause)
	}
}

// checkProven has the virtual IPs removed at once where keepalived does not run here and another host has just been seen
// to serve at them.
func (o *ownership) checkProven() {
	if time.Since(o.proven) < provenTime {
		o.check = time.Now()
	}
}

// announceRequested announces the virtual IPs at once: the other host holds them no more, and neighbours look for them
// there. What comes while this host asks, or has just asked, is an answer and no request.
func (o *ownership) announceRequested() {
	if len(o.held) == 0 || !o.down.IsZero() || o.asking || o.hangAsking || time.Since(o.answeredAt) < settleTime {
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
	o.ask, o.hang, o.announceAt, o.heard = time.Time{}, time.Time{}, time.Time{}, false
	o.conflictOver(ctx)
}

// conflictOver forgets the other holders.
func (o *ownership) conflictOver(ctx context.Context) {
	o.rival, o.verdicts = "", nil
	if o.told == (conflict{}) || o.standingDown {
		return
	}
	o.told = conflict{}
	send(ctx, o.conflicts, conflict{})
	if o.warnedOf {
		o.warnedOf = false
		o.log.Info("no other machine answers for the virtual IPs any more")
	}
}

// askOthers begins to ask who else holds the virtual IPs. What happens meanwhile does not wait for it.
func (o *ownership) askOthers(ctx context.Context) {
	if due(o.hang) {
		o.hang, o.hangAsking, o.hangAsked = time.Time{}, true, time.Now()
		o.search(ctx, addrsOf(o.held), true)
	}
	if !due(o.ask) {
		return
	}
	if o.ask = (time.Time{}); len(o.held) == 0 {
		return
	}
	if o.asking {
		o.ask = time.Now().Add(settleTime)
		return
	}
	o.asking = true
	o.search(ctx, addrsOf(o.held), false)
}

func addrsOf(prefixes []netip.Prefix) (addrs []netip.Addr) {
	for _, p := range prefixes {
		addrs = append(addrs, p.Addr())
	}
	return addrs
}

// search begins to look for a rival; hung says that it is only for a keepalived that hangs here. Where this host may give
// way to what is found, it listens for advertisements first: they may take an interval, in which the rival may have given
// way to this host.
func (o *ownership) search(ctx context.Context, vips []netip.Addr, hung bool) {
	spec := o.spec
	loses := slices.ContainsFunc(o.verdicts, func(v verdict) bool { return v.loses })
	listens := loses && !hung && !o.standingDown && o.down.IsZero()
	o.underway.Go(func() {
		silent := listens && !advertised(ctx, o.host, spec)
		a := findRival(ctx, o.host, spec, vips)
		a.hung, a.silent = hung, silent
		o.answers <- a
	})
}
