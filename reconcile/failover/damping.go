package failover

import (
	"context"
	"time"
)

const (
	alonePause   = time.Second            // how long a host without a peer waits for a HAProxy that comes back
	peerPatience = 20 * time.Millisecond  // how long a peer may take to answer when there is no time to lose
	vipPatience  = 100 * time.Millisecond // … a holder of the virtual IPs, when there is some
	flapMemory   = time.Minute            // faults within it make the next one last longer …
	longestFault = 30 * time.Second       // … up to this
)

// waitAlone says whether the fault is to wait, since no peer could take over and HAProxy may be back before a fault
// costs more than it gains. After alonePause it waits no longer: a peer that comes later must find the virtual IPs free.
func (h *health) waitAlone(ctx context.Context, now time.Time) bool {
	if h.badSince.IsZero() {
		if !h.alone(ctx) {
			return false
		}
		h.badSince = now
	}
	return now.Before(h.badSince.Add(alonePause))
}

// alone says that no peer is there. Where the spec names none, one may be.
func (h *health) alone(ctx context.Context) bool {
	if len(h.spec.Peers) == 0 {
		return false
	}
	answered, err := h.host.AnyAnswers(ctx, h.spec.Interface, h.spec.Peers, peerPatience)
	return err == nil && !answered
}

// flaps says whether the present fault is to last though its reason is gone. A single fault ends at once; where faults
// come again and again, the virtual IPs must not move each time. Where they would not come back, or where no other host
// holds them, there is nothing to wait for.
func (h *health) flaps(ctx context.Context, now time.Time) bool {
	for len(h.faults) > 0 && now.Sub(h.faults[0]) > flapMemory {
		h.faults = h.faults[1:]
	}
	if len(h.faults) < 2 {
		return false
	}
	end := h.last.Since.Add(min(time.Second<<min(len(h.faults)-2, 10), longestFault))
	return now.Before(end) && h.returns(ctx)
}

// returns says that another host serves at the virtual IPs and that keepalived would take them back. Where nobody can tell
// whether another host does, it says so too.
func (h *health) returns(ctx context.Context) bool {
	if !h.spec.Preempt {
		return false
	}
	if held, err := h.host.AnyAnswers(ctx, h.spec.Interface, h.spec.VirtualIPs, vipPatience); err != nil || !held {
		return err != nil
	}
	a := findRival(ctx, h.host, h.spec, h.spec.VirtualIPs)
	return a.err != nil || a.serves
}
