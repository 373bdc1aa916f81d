package reconcile

import (
	"context"
	"errors"
	"strings"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render"
)

// MaxWait is the longest time for which a drained host may serve its existing connections.
const MaxWait = 24 * time.Hour

// canServeOn is why connections cannot survive a move of the virtual IPs; nil if they can. Such an error wraps
// ErrUnavailable.
func (r *Reconciler) canServeOn(ctx context.Context, in *state.InForce) error {
	addrs := render.HandedOver(in.Spec, in.Interface)
	if len(addrs) == 0 {
		return host.Unavailable("cannot wait for connections: with this spec a move forwards no connections (profile: classic, or vrrp.handover: none); use drain without --wait", nil)
	}
	want := render.Handover{Rules: map[api.Family]int{}}
	for _, addr := range addrs {
		want.Rules[api.FamilyOf(addr)] = 1
	}
	have, err := r.Host.Handover(ctx, want)
	if err != nil && !errors.Is(err, host.ErrUnavailable) {
		return &Failure{Err: err}
	}
	for family := range want.Rules {
		if err != nil || have.Rules[family] == 0 {
			return host.Unavailable("cannot wait for connections: the rules of vrrp.handover are not loaded (systemctl status "+render.HandoverUnit+"); use drain without --wait", err)
		}
	}
	table, err := state.ReadPeers(ctx, r.Host)
	if err != nil {
		return &Failure{Err: err}
	}
	if other := table.DrainsBeside(time.Now()); other != "" {
		return host.Unavailable("cannot wait for connections: "+other+" is still draining, and a new holder forwards to one host only; wait until that drain has ended, or use drain without --wait", nil)
	}
	return nil
}

// beginWait records, before the move, how long this host will serve its connections. It returns false if a peer does not
// forward for that long: the connections then end as in any move.
func (r *Reconciler) beginWait(ctx context.Context, wait time.Duration) (bool, error) {
	table, err := state.ReadPeers(ctx, r.Host)
	if err != nil {
		return false, err
	}
	now := time.Now()
	if old := table.CannotForward(now); len(old) > 0 {
		r.Log.Warn(strings.Join(old, ", ") + " forwards for 2 s at most (old agent, or no rules of vrrp.handover): established connections end as in a drain without --wait")
		return false, nil
	}
	return true, (&state.Wait{Began: now, Until: now.Add(wait)}).Write(ctx, r.Host)
}

// prolongWait changes the deadline of the present wait. Without a wait it does nothing.
func (r *Reconciler) prolongWait(ctx context.Context, wait time.Duration) error {
	on, err := state.ReadWait(ctx, r.Host)
	if err != nil || on == nil {
		return err
	}
	on.Until = time.Now().Add(wait)
	return on.Write(ctx, r.Host)
}
