package failover

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"rlb.dev/rlb-agent/reconcile/backoff"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/wake"
)

const (
	requests     = 10               // for gratuitous ARP, at most
	requestPause = 30 * time.Second // between two of them, at most

	successorTime = 6 * time.Second // in which the next master announces itself twice (keepalived.conf(5), garp_master_delay)
)

// requestAnnouncement begins to ask the host that serves at the virtual IPs now to send gratuitous ARP, while this one
// holds none. Of two MASTERs that meet after a partition, the winner may never have heard the loser, and so does not know
// that neighbours still look for them there. Nor can it know that of a host that crashed while it held them. Nobody is
// asked where somebody announces them before wait is over.
func (o *ownership) requestAnnouncement(ctx context.Context, wait time.Duration) {
	if o.endRequests != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	wait = max(wait, time.Until(o.requested.Add(announcePause)))
	before, begin := o.requested, time.Now().Add(wait)
	o.requested = begin
	o.endRequests = func() {
		if cancel(); time.Now().Before(begin) {
			o.requested = before
		}
	}
	h, spec, log := o.host, o.spec, o.log
	o.underway.Go(func() { requestAnnouncement(ctx, h, spec, wait, log) })
}

// giveUpRequests ends them: this host holds the virtual IPs again, or has others.
func (o *ownership) giveUpRequests() {
	if o.endRequests != nil {
		o.endRequests()
		o.endRequests = nil
	}
}

// requestAnnouncement asks until somebody announces the virtual IPs to everyone: a request, or what it leads to, is lost
// where nothing passes yet in one direction. A device that only answers for them would learn a wrong MAC by it.
func requestAnnouncement(ctx context.Context, h Host, spec state.InForce, wait time.Duration, log *slog.Logger) {
	ctx, cancel := context.WithCancel(ctx)
	var listening sync.WaitGroup
	defer listening.Wait()
	defer cancel()
	vips, heard := spec.VirtualIPs, make(chan struct{}, 1)
	listening.Go(func() {
		err := h.WatchHolders(ctx, spec.Interface, vips, func(toUsAlone bool) {
			if !toUsAlone {
				wake.Up(heard)
			}
		})
		if err != nil {
			log.Debug("cannot hear whether the virtual IPs are announced", "err", err)
		}
	})
	again := backoff.Backoff{First: announcePause, Most: requestPause}
	for range requests {
		select {
		case <-heard:
			return
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		a := findRival(ctx, h, spec, vips)
		for _, addr := range a.addrs {
			if a.serves && a.err == nil && len(heard) == 0 {
				a.err = h.AnnounceTo(spec.Interface, addr, a.mac)
			}
		}
		if a.err != nil && ctx.Err() == nil {
			log.Debug("cannot request gratuitous ARP", "err", a.err)
		}
		wait = again.Next()
	}
}
