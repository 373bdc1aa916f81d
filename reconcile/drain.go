package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render"
)

// ErrNotTaken is wrapped by the error of a drain that found no host to take over: the virtual IPs stayed on this host.
var ErrNotTaken = errors.New("no other host takes over")

// handoverPatience is how long a peer may take to answer for the virtual IPs, in addition to the time of a takeover. A peer
// that hears the goodbye needs almost none of it. If no peer takes over, no host serves during this time.
const handoverPatience = 500 * time.Millisecond

// trialPatience is the same if it is not known whether there is a peer. It is added to the time that a peer takes after it
// hears a goodbye.
const trialPatience = time.Second

// Drain hands the virtual IPs to a peer and keeps this host out, across restarts and boots, until Undrain. keepalived says
// goodbye properly: because of the tracked file, or if it tracks no file, because it is stopped. If no peer answers or none
// takes over, this host keeps the virtual IPs; force hands over without this check. Without nodes in the spec there is no
// address to ask; the drain is then tried, and taken back after about a second if no host takes over. doc is the spec in
// force.
//
// With a wait, at most MaxWait, this host serves its existing connections for that long; a serveon.Keeper must do the work
// (state.Wait). 0 means no wait. If a wait is not possible, the error wraps ErrUnavailable, and nothing was changed.
func (r *Reconciler) Drain(ctx context.Context, doc *api.Document, force bool, wait time.Duration) (Result, error) {
	in, err := r.inForce(ctx, "drain")
	if err != nil {
		return Result{}, err
	}
	if err := r.EndAbandonedDrain(ctx); err != nil { // this drain is to last
		return Result{}, &Failure{Err: err}
	}
	if wait > 0 {
		if err := r.canServeOn(ctx, in); err != nil {
			return Result{}, err
		}
	}
	held, err := in.Held(ctx, r.Host)
	if err != nil {
		return Result{}, &Failure{Err: err}
	}
	if held && !force && len(in.Peers) > 0 {
		if err := seesPeer(ctx, r.Host, in); err != nil {
			return Result{}, &Failure{Err: err}
		}
	}
	waits := false
	switch {
	case wait > 0 && held:
		waits, err = r.beginWait(ctx, wait)
	case wait > 0:
		err = r.prolongWait(ctx, wait)
	}
	if err != nil {
		return Result{}, &Failure{Err: err}
	}
	takeBack := func(err error) error {
		if waits {
			err = errors.Join(err, state.ForgetWait(context.WithoutCancel(ctx), r.Host))
		}
		return err
	}
	result, err := r.drain(ctx, doc, in, true)
	switch {
	case err != nil:
		return result, takeBack(err)
	case !held || force:
		return result, nil
	}
	if err := taken(ctx, r.Host, in); err != nil {
		_, undo := r.drain(context.WithoutCancel(ctx), doc, in, false)
		undo = takeBack(undo)
		return result, &Failure{Err: err, Undo: undo, Undone: true}
	}
	return result, nil
}

// Undrain lets this host hold the virtual IPs again. It gets them when the peer gives them up, or at once with
// vrrp.preempt.
func (r *Reconciler) Undrain(ctx context.Context, doc *api.Document) (Result, error) {
	in, err := r.inForce(ctx, "undrain")
	if err != nil {
		return Result{}, err
	}
	return r.drain(ctx, doc, in, false)
}

// inForce reads the spec in force on a host that can be changed.
func (r *Reconciler) inForce(ctx context.Context, verb string) (*state.InForce, error) {
	if err := r.Host.Ready(ctx); err != nil {
		return nil, err
	}
	in, err := state.ReadInForce(ctx, r.Host)
	if err != nil {
		return nil, &Failure{Err: err}
	}
	if in == nil {
		return nil, fmt.Errorf("cannot %s: %w: no spec is in force there", verb, host.ErrUnavailable)
	}
	return in, nil
}

// drain takes the host out of the virtual router or lets it in again.
func (r *Reconciler) drain(ctx context.Context, doc *api.Document, in *state.InForce, out bool) (Result, error) {
	was, err := r.Host.File(ctx, render.DrainFile)
	if err != nil {
		return Result{}, &Failure{Err: err}
	}
	if string(was.Data) != render.TrackedText(out) {
		if err := r.writeDrain(ctx, out); err != nil {
			return Result{}, &Failure{Err: err}
		}
	}
	if in.Tracks {
		return Result{}, nil
	}
	result, err := r.Once(ctx, doc) // this starts or stops keepalived
	if err != nil && was.Exists {
		err = errors.Join(err, r.Host.WriteFile(ctx, render.DrainFile, was.Data, was.Mode, was.UID, was.GID))
	} else if err != nil {
		err = errors.Join(err, r.Host.RemoveFile(ctx, render.DrainFile))
	}
	return result, err
}

// writeDrain writes DrainFile, and the record of the drain: its time, the user, and whether an upgrade ends it. A host that
// is drained always has the record, wherever a crash comes in between.
func (r *Reconciler) writeDrain(ctx context.Context, out bool) error {
	if out {
		record := state.DrainRecord{Since: time.Now().Truncate(time.Second), By: r.By, Upgrade: r.upgrades}
		if err := record.Write(ctx, r.Host); err != nil {
			return err
		}
	}
	err := r.Host.WriteFile(ctx, render.DrainFile, []byte(render.TrackedText(out)), 0o644, 0, 0)
	if err != nil || out {
		return err
	}
	return state.ForgetDrain(ctx, r.Host)
}

// EndAbandonedDrain ends the drain of an upgrade that could not end it: its process was killed, or the host lost power. The
// caller holds the lock, so that no upgrade runs.
func (r *Reconciler) EndAbandonedDrain(ctx context.Context) error {
	if r.upgrades {
		return nil
	}
	record, err := state.ReadDrain(ctx, r.Host)
	if err != nil || !record.Upgrade {
		return err
	}
	r.Log.Warn("an upgrade was cut off: this host, which it had drained, can hold the virtual IPs again")
	return r.writeDrain(ctx, false)
}

// seesPeer checks that another node of the spec answers.
func seesPeer(ctx context.Context, o host.Observer, in *state.InForce) error {
	answers, err := o.Neighbours(ctx, in.Interface, in.Peers)
	if err != nil {
		return err
	}
	if len(answers) == 0 {
		return fmt.Errorf("cannot drain this host: it holds the virtual IPs, and none of its peers %v answers: %w (--force hands over all the same)",
			in.Peers, ErrNotTaken)
	}
	return nil
}

// taken waits until other hosts answer for all virtual IPs.
func taken(ctx context.Context, o host.Observer, in *state.InForce) error {
	patience, who := in.Takeover+handoverPatience, "although peers answer (rlb-agent status there says why)"
	if len(in.Peers) == 0 {
		patience, who = in.Skew+trialPatience, "and the spec names no nodes to look for (--force hands over all the same)"
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if all, err := allAnswer(ctx, o, in); err == nil && all {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cannot drain this host: %w within %v, %s", ErrNotTaken, patience.Round(time.Millisecond), who)
		case <-time.After(verifyPause):
		}
	}
}

// allAnswer says whether other hosts answer for all virtual IPs, each on its own interface: with arp_ignore=1, which
// vrrp.handover sets, a host answers on no other one. Other interfaces than that of the advertisements are left out if
// nobody can be asked there.
func allAnswer(ctx context.Context, o host.Observer, in *state.InForce) (bool, error) {
	on := map[string][]netip.Addr{}
	for _, v := range in.Spec.VirtualIPs {
		iface := cmp.Or(v.Interface, in.Interface)
		on[iface] = append(on[iface], v.Addr())
	}
	for iface, addrs := range on {
		answers, err := o.Neighbours(ctx, iface, addrs)
		switch {
		case iface != in.Interface && errors.Is(err, host.ErrUnavailable):
		case err != nil || len(answers) < len(addrs):
			return false, err
		}
	}
	return true, nil
}
