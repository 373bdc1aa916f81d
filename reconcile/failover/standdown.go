package failover

import (
	"context"
	"slices"
	"time"

	"rlb.dev/rlb-agent/reconcile/backoff"
)

const (
	pollPause   = time.Second     // between two polls of the host that stands down
	enoughPolls = 2               // that find no other host that serves: then this host is needed
	backupTime  = 2 * time.Second // in which keepalived becomes BACKUP, beside twice the time of a takeover
)

// For how long heard advertisements are no reason to come back, where they led to the next conflict. VRRP may pass the
// other way again soon, which this host cannot know; or it may be that nobody ever sees to it.
const (
	firstDistrust = 4 * time.Second
	mostDistrust  = 5 * time.Minute
)

// standDown is what ownership knows while this host is in FAULT because another host holds the virtual IPs. If it came
// back without having heard that host's advertisements, both would hold them again.
type standDown struct {
	standingDown bool
	poll         time.Time // when to poll next
	emptyPolls   int       // in a row that found none

	listening bool            // for the other host's advertisements
	passes    chan passage    // what came of it
	back      time.Time       // when heard advertisements last made this host come back
	distrust  backoff.Backoff // in which they do not
}

func newStandDown() standDown {
	return standDown{
		passes:   make(chan passage, 1),
		distrust: backoff.Backoff{First: firstDistrust, Most: mostDistrust, Quiet: mostDistrust},
	}
}

// passage is whether the other host's advertisements get through to keepalived.
type passage struct {
	all bool
	err error
}

// beginStandDown puts this host in FAULT. If the conflict is there again as soon as this host came back, then either the
// other host does not hear this one, and this one keeps its priority (vrrp.preempt), or keepalived here ignores the
// advertisements that arrive. Then they are no reason to come back for a while.
//
// Where both may hear each other again already, the other is MASTER and heard as soon as this host has left the virtual IPs:
// a longer pause would leave the other without a backup.
func (o *ownership) beginStandDown(ctx context.Context, c conflict) {
	now := time.Now()
	if now.Sub(o.back) < 2*o.spec.Takeover+backupTime {
		o.distrust.Next()
	}
	c.standDown = true
	o.standingDown, o.poll, o.emptyPolls, o.told = true, now.Add(settleTime), 0, c
	send(ctx, o.conflicts, c)
}

// pollOthers begins to ask whether another host still serves at the virtual IPs, and to listen whether VRRP passes again.
func (o *ownership) pollOthers(ctx context.Context) {
	if !o.standingDown || !due(o.poll) {
		return
	}
	if !o.listening && o.distrust.Left() == 0 {
		o.listen(ctx)
	}
	if o.poll = (time.Time{}); !o.asking { // what is under way is an answer too
		o.asking = true
		o.search(ctx, slices.Clone(o.spec.VirtualIPs), false)
	}
}

// polled ends the stand-down where no other host serves at the virtual IPs.
func (o *ownership) polled(ctx context.Context, a answer) {
	o.poll = time.Now().Add(pollPause)
	o.emptyPolls++
	if a.err != nil || a.serves && !a.stranger {
		o.emptyPolls = 0
	}
	if o.emptyPolls >= enoughPolls {
		o.log.Warn("no other host serves at the virtual IPs any more: this host no longer stands down")
		o.endStandDown(ctx)
	}
}

func (o *ownership) listen(ctx context.Context) {
	o.listening = true
	iface, ids := o.spec.Interface, o.spec.Identities
	go func() {
		all, err := o.host.AdvertsPass(ctx, iface, ids)
		o.passes <- passage{all, err}
	}()
}

// advertsHeard ends the stand-down where keepalived will be BACKUP, since it hears the other host.
func (o *ownership) advertsHeard(ctx context.Context, p passage) {
	o.listening = false
	o.logOnce(p.err)
	if o.standingDown && p.all {
		o.log.Info("advertisements of the other host get through again: this host no longer stands down")
		o.back = time.Now()
		o.endStandDown(ctx)
	}
}

func (o *ownership) endStandDown(ctx context.Context) {
	o.standingDown, o.poll, o.told = false, time.Time{}, conflict{}
	send(ctx, o.conflicts, conflict{})
}
