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
	requests     = 10               // the most requests for gratuitous ARP
	requestPause = 30 * time.Second // the longest pause between two requests

	successorTime = 6 * time.Second // within which a new master announces itself twice (keepalived.conf(5), garp_master_delay)
)

// requestAnnouncement asks the host that serves at the virtual IPs now to send gratuitous ARP. It does so in the background
// while this host holds no virtual IP. After a partition, the winner of two MASTERs may never have heard the loser. The
// winner then does not know that neighbours still send packets to the loser. The same holds after a crash of the former
// holder. No request is sent if a host announces the virtual IPs before wait is over.
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

// giveUpRequests ends the requests, because this host holds virtual IPs again or has a new spec in force.
func (o *ownership) giveUpRequests() {
	if o.endRequests != nil {
		o.endRequests()
		o.endRequests = nil
	}
}

// requestAnnouncement repeats the request until a host announces the virtual IPs to all hosts. A request or its effect is
// lost while frames do not pass in one direction yet. Only a host that serves gets a request, because a device that only
// answers ARP would learn a wrong MAC from it.
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
		if a.serves && a.err == nil && len(heard) == 0 {
			a.err = h.AnnounceTo(spec.Interface, a.addrs, a.mac)
		}
		if a.err != nil && ctx.Err() == nil {
			log.Debug("cannot request gratuitous ARP", "err", a.err)
		}
		wait = again.Next()
	}
}
