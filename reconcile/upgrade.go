package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/reconcile/state"
)

// upgradeWait is how long a host waits for its connections to end before its programs are replaced.
const upgradeWait = time.Minute

// Upgrade installs newer packages, as one change that is verified and undone like any other. If this host holds the virtual
// IPs, Upgrade first hands them to a peer and waits up to a minute for its connections to end, if connections survive a
// move. Afterwards this host may hold the virtual IPs again, however the upgrade ends. If it is known that no peer would
// take over, Upgrade changes nothing; if nothing is known, it tries a drain. With force it upgrades even if no peer takes
// over; clients may then notice it. doc is the spec in force.
func (r *Reconciler) Upgrade(ctx context.Context, doc *api.Document, newer []plan.Newer, force bool) (result Result, err error) {
	in, hand, err := r.upgradable(ctx, force)
	if err != nil {
		return Result{}, err
	}
	if hand {
		r.upgrades = true
		wait := time.Duration(0)
		if r.Await != nil && r.canServeOn(ctx, in) == nil {
			wait = upgradeWait
		}
		switch _, drainErr := r.Drain(ctx, doc, false, wait); {
		case drainErr == nil:
			defer func() {
				_, undrain := r.Undrain(context.WithoutCancel(ctx), doc)
				err = errors.Join(err, undrain)
			}()
			if wait > 0 {
				if err := r.Await(ctx); err != nil {
					return Result{}, err
				}
			}
		case !force || !errors.Is(drainErr, ErrNotTaken):
			return Result{}, drainErr
		}
	}
	return r.Once(ctx, plan.Pinned(doc, newer))
}

// UpgradeRefusal is why Upgrade would change nothing on this host, as far as this is visible before.
func (r *Reconciler) UpgradeRefusal(ctx context.Context, force bool) error {
	_, _, err := r.upgradable(ctx, force)
	return err
}

// upgradable returns the spec in force, and whether this host hands the virtual IPs to a peer before an upgrade. The error
// is why it cannot be upgraded.
func (r *Reconciler) upgradable(ctx context.Context, force bool) (in *state.InForce, hand bool, err error) {
	if in, err = r.inForce(ctx, "upgrade"); err != nil {
		return nil, false, err
	}
	drained, err := state.Drained(ctx, r.Host)
	if err != nil {
		return nil, false, &Failure{Err: err}
	}
	held, err := in.Held(ctx, r.Host)
	if err != nil {
		return nil, false, &Failure{Err: err}
	}
	if !held || drained {
		return in, false, nil
	}
	alone, err := r.noStandby(ctx, in)
	switch {
	case err != nil:
	case alone != "" && !force:
		err = fmt.Errorf("cannot upgrade this host: it holds the virtual IPs, and %w: %s (--force upgrades it all the same, and clients may notice it)", ErrNotTaken, alone)
	case alone == "" && !force && len(in.Peers) > 0:
		err = seesPeer(ctx, r.Host, in)
	}
	if err != nil {
		return nil, false, &Failure{Err: err}
	}
	return in, alone == "", nil
}

// noStandby is why no host would take over from this one, in words; "" if a standby is ready or if it is not known.
func (r *Reconciler) noStandby(ctx context.Context, in *state.InForce) (string, error) {
	if len(in.Spec.Nodes) == 1 {
		return "the spec names no other node", nil
	}
	table, err := state.ReadPeers(ctx, r.Host)
	return table.NoStandby(time.Now()), err
}
