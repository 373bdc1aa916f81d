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

// answered judges whether another host holds the virtual IPs while this one is MASTER.
func (o *ownership) answered(ctx context.Context, a answer) {
	o.asking, o.answeredAt = false, time.Now()
	o.logOnce(a.err)
	at := slices.IndexFunc(a.asked, func(addr netip.Addr) bool { return a.macs[addr] != "" })
	if a.err != nil || len(o.held) == 0 || !o.down.IsZero() || at < 0 && !o.heard && len(o.verdicts) == 0 {
		return
	}
	role, err := status.KeepalivedRole(ctx, o.host)
	o.logOnce(err)
	if errors.Is(err, host.ErrNoAnswer) && at >= 0 && o.spec.Tracks && !o.stranger(a.macs[a.asked[at]], a.macs) {
		o.killHung(ctx, a.macs[a.asked[at]])
		return
	}
	if o.readHeld(ctx); role != host.RoleMaster || len(o.held) == 0 {
		if role == host.RoleUnknown && !o.retry.Exhausted() { // too young to be asked
			o.askBy(time.Now().Add(youngPause))
		}
		return
	}
	if at < 0 {
		o.announce() // for neighbours that believed the other host
		o.heard = false
		o.conflictOver(ctx)
		return
	}
	o.resolve(ctx, a.asked[at], a.macs)
}

// killHung kills a keepalived that does not answer while another host has taken over. systemd then starts it again.
func (o *ownership) killHung(ctx context.Context, rival string) {
	o.log.Warn(fmt.Sprintf("keepalived hangs, and another host, MAC %s, has taken over: killing keepalived", rival))
	o.heard = true // from that host: what is left behind is removed at once
	o.logOnce(o.host.KillUnit(ctx, host.KeepalivedUnit))
}

// resolve decides whether this host stays MASTER beside the holder that answered first. Of more than two each may be the
// first at a time: the one with the highest MAC loses to none, and the others lose to it once they hear it.
func (o *ownership) resolve(ctx context.Context, addr netip.Addr, macs map[netip.Addr]string) {
	own, err := o.host.MAC(o.spec.Interface)
	if err != nil {
		o.logOnce(err)
		return
	}
	other := macs[addr]
	who, loses := "another host", o.spec.Tracks && own < other
	if o.stranger(other, macs) {
		who, loses = "a host that is none of the spec's nodes", false
	}
	text := fmt.Sprintf("%s, MAC %s, holds %s too, and VRRP between the two does not pass: check firewalls and switches", who, other, addr)
	switch v := (verdict{who, loses}); {
	case !slices.Contains(o.verdicts, v): // one of the two may be about to stop: ask once more
		o.verdicts = append(o.verdicts, v)
		o.recall.Reset()
		o.askBy(time.Now().Add(confirmTime))
	case loses:
		o.beginStandDown(ctx, text)
		return
	case !o.told:
		o.told = true
		o.log.Warn(text)
		send(ctx, o.conflicts, conflict{text: text})
		fallthrough
	default:
		o.askBy(time.Now().Add(o.recall.Next()))
	}
	if !loses {
		o.announce() // the other agent hears of this host, and neighbours learn the right MAC
	}
}

// stranger says that a MAC is no peer's, where all peers are known and answered.
func (o *ownership) stranger(mac string, macs map[netip.Addr]string) bool {
	for _, peer := range o.spec.Peers {
		if macs[peer] == "" || macs[peer] == mac {
			return false
		}
	}
	return len(o.spec.Peers) > 0
}

// requestAnnouncement asks whoever holds the virtual IPs now to send gratuitous ARP. Of two MASTERs that meet after a
// partition, the winner may never have heard the loser, and so does not know that neighbours still look for them here.
func (o *ownership) requestAnnouncement(ctx context.Context) {
	iface, addrs := o.spec.Interface, slices.Clone(o.spec.VirtualIPs)
	o.requests.Go(func() {
		macs, err := o.host.Neighbours(ctx, iface, addrs)
		for addr, mac := range macs {
			if err == nil {
				err = o.host.AnnounceTo(iface, addr, mac)
			}
		}
		if err != nil {
			o.log.Debug("cannot request gratuitous ARP", "err", err)
		}
	})
}

// announceFresh announces once more what this host has got. Where several backups of one priority become MASTER at the same
// time, all announce, and all but one become BACKUP within milliseconds; keepalived repeats its announcement 5 s later only
// (keepalived.conf(5), garp_master_delay), and until then neighbours would look for them where they heard of them last.
func (o *ownership) announceFresh() {
	if o.fresh {
		o.fresh = false
		o.announce()
	}
}

func (o *ownership) announce() {
	for _, p := range o.held {
		o.logOnce(o.host.Announce(o.spec.Interface, p.Addr()))
	}
}
