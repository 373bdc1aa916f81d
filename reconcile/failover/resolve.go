package failover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/status"
)

// answered judges whether another host holds the virtual IPs while this one is MASTER.
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
	case a.err != nil || len(o.held) == 0:
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
	if !mayHang || !o.hang.IsZero() || o.hangAsking { // a claim has just come
		asked = atOnce{asked}
	}
	role, err := status.KeepalivedRole(ctx, asked)
	o.logOnce(err)
	if errors.Is(err, host.ErrNoAnswer) && mayHang {
		o.killHung(ctx, a.mac)
		return
	}
	if o.readHeld(ctx); role != host.RoleMaster || len(o.held) == 0 {
		if role == host.RoleUnknown && !o.retry.Exhausted() { // too young to be asked
			o.askBy(time.Now().Add(youngPause))
		}
		return
	}
	if a.mac == "" {
		o.announce() // for neighbours that believed the other host
		o.heard = false
		o.conflictOver(ctx)
		return
	}
	o.resolve(ctx, a)
}

// killHungAtOnce is killHung a moment after another host has said that it took over. A keepalived that is well has given
// way to it, or tells its state at once.
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

// atOnce is a host whose keepalived is asked with less patience. Claims of other hosts wait for the answer, so there is more
// patience only where silence kills keepalived.
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
	o.claimed() // by that host, which serves: what is left behind is removed at once
}

// resolve decides whether this host stays MASTER beside another holder. Of more than two each may be found at a time: the
// one with the highest MAC loses to none, and the others lose to it once they hear it.
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
		c.text = fmt.Sprintf("a device with MAC %s answers for %s but does not serve there, so no host gives way to it: "+
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
		// That host left the virtual IPs to this one, whose keepalived heard nothing of it. Its own hangs, or is gone: its
		// agent takes them off. Where it does not, or where VRRP is dropped on the way, this host gives way later.
		o.askBy(time.Now().Add(confirmTime))
	case first || !known && a.serves: // one of the two may be about to stop: ask once more
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
		o.announce() // the other agent hears of this host, and neighbours learn the right MAC
	}
}

// tell reports a conflict where it is new, and logs it where that was not done lately: many devices can be made up.
func (o *ownership) tell(ctx context.Context, c conflict) {
	if c == o.told {
		return
	}
	o.told = c
	send(ctx, o.conflicts, c)
	if now := time.Now(); now.Sub(o.warned) >= warnPause {
		o.warned, o.warnedOf = now, true
		o.log.Warn(c.text)
	}
}

// announceFresh announces once more what this host has got. Where several backups of one priority become MASTER at the same
// time, all announce, and all but one become BACKUP within milliseconds; keepalived repeats its announcement 5 s later only
// (keepalived.conf(5), garp_master_delay), and until then neighbours would look for them where they heard of them last.
func (o *ownership) announceFresh() {
	if o.fresh {
		o.fresh = false
		o.announceHeld() // what others claim or request meanwhile is not put off by it
	}
}

// announce announces the virtual IPs at once, or, after an announcement, when announcePause has passed. Just after a
// takeover the former holder may still be about to leave, and asks for one when it has.
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
	for _, p := range o.held {
		o.logOnce(o.host.Announce(o.spec.Interface, p.Addr()))
	}
}
