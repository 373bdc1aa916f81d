package failover

import (
	"context"
	"slices"
	"time"

	"rlb.dev/rlb-agent/reconcile/backoff"
)

const (
	pollPause   = time.Second     // between two polls while this host stands down
	enoughPolls = 2               // after so many consecutive polls without another host that serves, this host is needed
	backupTime  = 2 * time.Second // keepalived becomes BACKUP within this time plus twice the time of a takeover
)

// If advertisements ended a stand-down and the next conflict followed, this host ignores advertisements for such a time. VRRP
// may soon pass in the other direction too, which this host cannot see. Or the fault may last.
const (
	firstDistrust = 4 * time.Second
	mostDistrust  = 5 * time.Minute
)

// standDown is the state of ownership while this host is in FAULT because another host holds the virtual IPs. If this host
// left FAULT without hearing that host's advertisements, both would hold the virtual IPs again.
type standDown struct {
	standingDown bool
	poll         time.Time // when to poll next
	emptyPolls   int       // consecutive polls that found no other host that serves

	listening bool            // this host is listening for the other host's advertisements
	passes    chan passage    // the results of listening
	back      time.Time       // when advertisements last ended a stand-down
	distrust  backoff.Backoff // pauses in which advertisements do not end a stand-down
}

func newStandDown() standDown {
	return standDown{
		passes:   make(chan passage, 1),
		distrust: backoff.Backoff{First: firstDistrust, Most: mostDistrust, Quiet: mostDistrust},
	}
}

// passage says whether the other host's advertisements reach keepalived.
type passage struct {
	all bool
	err error
}

// beginStandDown puts this host into FAULT. If the conflict returns as soon as this host has left FAULT, there are two
// possible reasons: the other host does not hear this one, and this one keeps its priority (vrrp.preempt), or keepalived here
// ignores the advertisements that arrive. In both cases advertisements do not end the stand-down for a while.
//
// The first poll comes soon. If the hosts hear each other again already, the other host is MASTER and heard as soon as this
// host has removed the virtual IPs. A longer pause would leave the other host without a backup.
func (o *ownership) beginStandDown(ctx context.Context, c conflict) {
	now := time.Now()
	if now.Sub(o.back) < 2*o.spec.Takeover+backupTime {
		o.distrust.Next()
	}
	c.standDown = true
	o.standingDown, o.poll, o.emptyPolls, o.sent = true, now.Add(settleTime), 0, c
	send(ctx, o.conflicts, c)
}

// pollOthers starts a search for a host that still serves at the virtual IPs, and starts listening for its advertisements.
func (o *ownership) pollOthers(ctx context.Context) {
	if !o.standingDown || !due(o.poll) {
		return
	}
	if !o.listening && o.distrust.Left() == 0 {
		o.listen(ctx)
	}
	if o.poll = (time.Time{}); !o.asking { // the answer of a running search counts too
		o.asking = true
		o.search(ctx, slices.Clone(o.spec.VirtualIPs), false)
	}
}

// polled ends the stand-down if enough polls found no other host that serves at the virtual IPs.
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

// advertsHeard ends the stand-down if keepalived hears the other host, because keepalived will be BACKUP then.
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
	o.standingDown, o.poll, o.sent = false, time.Time{}, conflict{}
	send(ctx, o.conflicts, conflict{})
}
