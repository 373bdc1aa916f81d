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
	announcePause = time.Second           // between two announcements of the virtual IPs, and between two requests for one
	claimPause    = 20 * time.Millisecond // between two claims that are handled
	hangPause     = 30 * time.Millisecond // a working keepalived has become BACKUP within this time after a claim
	hungTime      = 2 * time.Second       // the agent of a busy host has killed its hung keepalived within this time
	freshTime     = time.Second           // a takeover counts as recent for this time
	provenTime    = 2 * time.Second       // how long a host that was seen to serve is assumed to serve
	warnPause     = time.Minute           // between two log lines on conflicts
)

// splitBrain is the state of ownership about other hosts that hold the virtual IPs while this one is MASTER. keepalived finds
// such hosts by their advertisements, and all but one become BACKUP within an interval. If frames pass but advertisements
// do not, all would stay MASTER. In that case the hosts with a lower MAC stand down. Each host can decide this without a
// message.
type splitBrain struct {
	unwatching       func()        // ends the watch for claims; nil if there is no watch
	claims           chan struct{} // another host claims a virtual IP
	announceRequests chan struct{} // another host claims one to this host only, which is a request for gratuitous ARP

	ask        time.Time // when to search for other holders; zero means never
	asking     bool      // such a search is running
	hang       time.Time // when to search because keepalived may hang, even while another search runs; zero means never
	hangAsking bool      // such a search is running
	hangAsked  time.Time // when the last one began
	answers    chan answer
	answeredAt time.Time // when the last answer came

	underway    sync.WaitGroup // searches for a rival, and requests for gratuitous ARP
	requested   time.Time      // when the last series of requests began or will begin
	endRequests func()         // ends the requests; nil if none began since this host last held virtual IPs
	announced   time.Time      // when this host announced the virtual IPs last
	announceAt  time.Time      // when to announce them again; zero means never

	heard    bool            // a claim came since a search last found no other holder
	proven   time.Time       // when another host was last seen to serve at the virtual IPs
	since    time.Time       // when the current conflict began
	rival    string          // MAC of the other machine that answers for the virtual IPs; "" if there is none
	verdicts []verdict       // verdicts on the rivals that served in this conflict
	sent     conflict        // the conflict last sent to health
	warned   time.Time       // when a conflict was last logged
	warnedOf bool            // the current conflict was logged
	recall   backoff.Backoff // pauses until the host that stays MASTER searches again
}

// verdict says what another holder means for this host, without its identity.
type verdict struct {
	stranger bool // the holder is none of the spec's nodes
	loses    bool // this host loses and must stand down
}

func newSplitBrain() splitBrain {
	return splitBrain{
		claims: make(chan struct{}, 1), announceRequests: make(chan struct{}, 1), answers: make(chan answer, 2),
		recall: backoff.Backoff{First: 200 * time.Millisecond, Most: time.Minute},
	}
}

// watch starts listening for claims of other hosts, unless that runs already.
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

// claimed plans a search after another host claimed a virtual IP. keepalived gets the time to become BACKUP by itself, as at
// the end of every failover. If keepalived does not run here, the other host may have taken over, so the search begins at
// once.
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

// checkProven has the virtual IPs removed at once if another host has just been seen to serve at them. It is called while
// keepalived does not run here.
func (o *ownership) checkProven() {
	if time.Since(o.proven) < provenTime {
		o.check = time.Now()
	}
}

// announceRequested announces the virtual IPs on request of another host. That host no longer holds them, but neighbours may
// still have its MAC. A frame that arrives during a search of this host, or just after one, is an answer and no request.
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

// holdNone resets the state while this host holds no virtual IP, because it cannot be in conflict then.
func (o *ownership) holdNone(ctx context.Context) {
	o.unwatch()
	o.ask, o.hang, o.announceAt, o.heard = time.Time{}, time.Time{}, time.Time{}, false
	o.conflictOver(ctx)
}

// conflictOver ends the current conflict, and reports its end.
func (o *ownership) conflictOver(ctx context.Context) {
	o.rival, o.verdicts = "", nil
	if o.sent == (conflict{}) || o.standingDown {
		return
	}
	o.sent = conflict{}
	send(ctx, o.conflicts, conflict{})
	if o.warnedOf {
		o.warnedOf = false
		o.log.Info("no other machine answers for the virtual IPs any more")
	}
}

// askOthers starts the searches for other holders that are due. They run in the background.
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

// search starts a search for a rival. hung says that the reason is a keepalived that may hang on this host. If this host may
// lose to the rival, the search listens for advertisements first. That can take an interval, and the rival may give up the
// virtual IPs meanwhile, so the search for it comes second.
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
