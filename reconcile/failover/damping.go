package failover

import (
	"context"
	"time"
)

const (
	alonePause   = time.Second            // how long a host without a peer waits for HAProxy to come back before a fault
	peerPatience = 20 * time.Millisecond  // how long to wait for a peer's answer; short, because a fault waits for it
	vipPatience  = 100 * time.Millisecond // how long to wait for an answer of the holder of the virtual IPs
	flapMemory   = time.Minute            // each fault within this time makes the next fault last longer …
	longestFault = 30 * time.Second       // … up to this
)

// waitAlone says whether to delay the fault: no peer could take over, and HAProxy may come back soon. The delay ends after
// alonePause, because a peer that comes later must find the virtual IPs free.
func (h *health) waitAlone(ctx context.Context, now time.Time) bool {
	if h.badSince.IsZero() {
		if !h.alone(ctx) {
			return false
		}
		h.badSince = now
	}
	return now.Before(h.badSince.Add(alonePause))
}

// alone says whether no peer answers. It returns false if the spec names no peer, because one may exist.
func (h *health) alone(ctx context.Context) bool {
	if len(h.spec.Peers) == 0 {
		return false
	}
	answered, err := h.host.AnyAnswers(ctx, h.spec.Interface, h.spec.Peers, peerPatience)
	return err == nil && !answered
}

// flaps says whether the current fault must last longer although its reason is gone. A single fault ends at once. With
// repeated faults the virtual IPs must not move each time. The fault also ends at once if the virtual IPs would not come
// back to this host, or if no other host holds them.
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

// returns says whether another host serves at the virtual IPs and keepalived would take them back. If the other host cannot
// be determined, it returns true.
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
