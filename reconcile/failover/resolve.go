package failover

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/status"
)

// answered handles the result of a search for other holders of the virtual IPs.
func (o *ownership) answered(ctx context.Context, a answer) {
	if o.answeredAt = time.Now(); a.hung {
		o.hangAsking = false
	} else {
		o.asking = false
	}
	o.logOnce(a.err)
	if a.serves && !a.stranger {
		o.proven = time.Now()
	}
	switch {
	case o.standingDown:
		if !a.hung {
			o.polled(ctx, a)
		}
		return
	case len(o.held) == 0:
		return
	case a.err != nil:
		if !a.hung && o.down.IsZero() { // the other host may not claim the virtual IPs once more
			o.askBy(time.Now().Add(o.recall.Next()))
		}
		return
	case !o.down.IsZero():
		if a.serves && !a.stranger {
			o.check = time.Now()
		}
		return
	case a.hung:
		o.killHungAtOnce(ctx, a)
		return
	case a.mac == "" && !o.heard && o.rival == "":
		return
	}
	mayHang := a.serves && o.spec.Tracks && !a.stranger
	asked := o.host
	if !mayHang || !o.hang.IsZero() || o.hangAsking { // a new claim waits for this answer
		asked = atOnce{asked}
	}
	role, err := status.KeepalivedRole(ctx, asked)
	o.logOnce(err)
	if errors.Is(err, host.ErrNoAnswer) && mayHang {
		o.killHung(ctx, a.mac)
		return
	}
	if o.readHeld(ctx); role != host.RoleMaster || len(o.held) == 0 {
		if role == host.RoleUnknown && !o.retry.Exhausted() { // keepalived started too recently to be asked
			o.askBy(time.Now().Add(youngPause))
		}
		return
	}
	if a.mac == "" {
		o.announce() // neighbours may have the other host's MAC
		o.heard = false
		o.conflictOver(ctx)
		return
	}
	o.resolve(ctx, a)
}

// killHungAtOnce kills a hung keepalived soon after another host has claimed the virtual IPs. A working keepalived has become
// BACKUP by then, or reports its state at once.
func (o *ownership) killHungAtOnce(ctx context.Context, a answer) {
	if !a.serves || a.stranger || !o.spec.Tracks {
		return
	}
	if _, err := status.KeepalivedRole(ctx, atOnce{o.host}); !errors.Is(err, host.ErrNoAnswer) {
		return
	}
	if o.readHeld(ctx); len(o.held) > 0 {
		o.killHung(ctx, a.mac)
	}
}

// atOnce is a host that asks keepalived with the shorter timeout of VRRPAtOnce. Claims of other hosts wait for the answer, so
// the longer timeout is used only if a missing answer leads to killing keepalived.
type atOnce struct{ Host }

func (h atOnce) VRRP(ctx context.Context, pid int) ([]host.Instance, error) {
	return h.VRRPAtOnce(ctx, pid)
}

// killHung kills a keepalived that does not answer while another host has taken over. systemd then starts it again.
func (o *ownership) killHung(ctx context.Context, rival string) {
	o.log.Warn(fmt.Sprintf("keepalived hangs, and another host, MAC %s, has taken over: killing keepalived", rival))
	if err := o.host.KillUnit(ctx, host.KeepalivedUnit); err != nil {
		o.logOnce(err)
		return
	}
	o.heard, o.hang, o.down = true, time.Time{}, time.Now()
	o.claimed() // the other host serves, so the addresses left behind are removed at once
}

// resolve decides whether this host stays MASTER beside another holder. With more than two holders, a search may find any of
// them. The host with the highest MAC loses to none. The other hosts lose to it once they find it.
func (o *ownership) resolve(ctx context.Context, a answer) {
	own, err := o.host.MAC(o.spec.Interface)
	if err != nil {
		o.logOnce(err)
		return
	}
	c := conflict{idle: !a.serves}
	loses := a.serves && !a.stranger && o.spec.Tracks && own < a.mac
	const both = "%s, MAC %s, holds %s too, and VRRP does not pass between the two: rlb-agent status says whether their specs differ, rlb-agent doctor says what blocks VRRP"
	switch {
	case c.idle:
		c.text = fmt.Sprintf("a device with MAC %s answers for %s but does not serve there, so no host yields to it: "+
			"it has the address by mistake, or it is a router with proxy ARP", a.mac, a.addrs[0])
	case a.stranger:
		c.text = fmt.Sprintf(both, "a host that is not in nodes of the spec", a.mac, a.addrs[0])
	default:
		c.text = fmt.Sprintf(both, "another host", a.mac, a.addrs[0])
	}
	v := verdict{a.stranger, loses}
	first, known := o.rival == "", o.rival == a.mac || slices.Contains(o.verdicts, v)
	if o.rival = a.mac; a.serves && !known {
		o.verdicts = append(o.verdicts, v)
	}
	if first {
		o.since = time.Now()
	}
	switch {
	case loses && a.silent && time.Since(o.since) < hungTime:
		// The other host does not advertise, so its keepalived hangs or has ended. Its agent removes the virtual IPs then. If
		// the agent does not, or if VRRP is dropped on the way, this host stands down after hungTime.
		o.askBy(time.Now().Add(confirmTime))
	case first || !known && a.serves: // one of the two hosts may be about to give up the virtual IPs: ask once more
		o.recall.Reset()
		o.askBy(time.Now().Add(confirmTime))
	case loses:
		o.beginStandDown(ctx, c)
		return
	default:
		o.tell(ctx, c)
		o.askBy(time.Now().Add(o.recall.Next()))
	}
	if !loses {
		o.announce() // so that the other agent finds this host, and neighbours learn the right MAC
	}
}

// tell reports a new conflict to health. It logs at most one conflict per warnPause, because somebody can fake many devices.
func (o *ownership) tell(ctx context.Context, c conflict) {
	if c == o.sent {
		return
	}
	o.sent = c
	send(ctx, o.conflicts, c)
	if now := time.Now(); now.Sub(o.warned) >= warnPause {
		o.warned, o.warnedOf = now, true
		o.log.Warn(c.text)
	}
}

// announceFresh announces once more the virtual IPs that this host has just got. If several backups of one priority become
// MASTER at the same time, all announce, and all but one become BACKUP within milliseconds. keepalived repeats its
// announcement only 5 s later (keepalived.conf(5), garp_master_delay). Until then neighbours would keep the MAC from the last
// announcement.
func (o *ownership) announceFresh() {
	if o.fresh {
		o.fresh = false
		o.announceHeld() // without setting o.announced: this must not delay an announcement that another host requests
	}
}

// announce announces the virtual IPs at once, or once announcePause has passed since the last announcement. For freshTime
// after a takeover the pause is only settleTime, because the former holder may still remove the virtual IPs and then request
// an announcement.
func (o *ownership) announce() {
	pause := announcePause
	if time.Since(o.got) < freshTime {
		pause = settleTime
	}
	if again := o.announced.Add(pause); time.Now().Before(again) {
		o.announceAt = again
		return
	}
	o.announced, o.announceAt = time.Now(), time.Time{}
	o.announceHeld()
}

func (o *ownership) announceHeld() {
	var addrs []netip.Addr
	for _, p := range o.held {
		addrs = append(addrs, p.Addr())
	}
	if len(addrs) > 0 {
		o.logOnce(o.host.Announce(o.spec.Interface, addrs))
	}
}
