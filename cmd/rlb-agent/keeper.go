package main

import (
	"context"
	"errors"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
)

const (
	firstRetry = 2 * time.Second // pause after a failure that may pass; it doubles each time
	lastRetry  = 5 * time.Minute
	noSpec     = time.Minute // pause where no spec says how long
)

// keeper remembers between two runs what must not be tried or told again.
type keeper struct {
	*app
	host    *host.Host
	applied string // digest of the spec that was applied
	refused string // digest of the spec that was refused or rolled back: not tried again until it changes
	told    string // last complaint, said once
	retry   time.Duration
}

// keep reconciles where there is a reason to, and says how long to wait for the next look. asked says that somebody
// wants it now.
func (k *keeper) keep(ctx context.Context, asked bool) time.Duration {
	unlock, err := k.host.Lock(ctx, k.lockTimeout)
	if err != nil {
		k.complain(err.Error())
		return firstRetry
	}
	defer unlock()
	if trial, err := reconcile.RunningTrial(ctx, k.host); err != nil {
		k.complain(err.Error())
		return noSpec
	} else if trial != nil && !trial.Over(time.Now()) {
		notify("STATUS=standing still while " + trial.File + " is tried")
		return time.Until(trial.Deadline) + time.Second // a unit ends it; where that fails, this does
	}
	doc, err := k.trustedSpec()
	switch {
	case err != nil:
		k.complain(message(err))
		return k.lastGood(ctx)
	case doc.Digest == k.refused && !asked:
		return k.lastGood(ctx)
	case doc.Digest == k.applied && doc.Spec.Reconcile.Drift == api.Report && !asked:
		return k.report(ctx, doc)
	}
	return k.bring(ctx, doc)
}

// bring brings a spec into force.
func (k *keeper) bring(ctx context.Context, doc *api.Document) time.Duration {
	notify("STATUS=reconciling")
	_, err := k.apply(ctx, k.host, doc)
	interval := doc.Spec.Reconcile.Interval.D()
	switch {
	case err == nil:
		k.applied, k.refused, k.told, k.retry = doc.Digest, "", "", 0
		notify("STATUS=this host is as " + k.spec + " says")
		return interval
	case mayPass(err):
		k.complain(message(err))
		k.retry = min(max(2*k.retry, firstRetry), lastRetry)
		return min(k.retry, interval)
	}
	k.refused = doc.Digest
	k.complain(message(err))
	return k.lastGood(ctx)
}

// mayPass says whether the same spec may go through later. One that was refused, or undone because it did not work,
// will not; what this host lacks just now may come, and what could not be undone must be tried again.
func mayPass(err error) bool {
	var (
		failure *reconcile.Failure
		field   *reconcile.FieldError
	)
	if errors.As(err, &failure) {
		return !failure.Undone || failure.Undo != nil
	}
	return errors.As(err, &field) || errors.Is(err, reconcile.ErrUnavailable)
}

// lastGood keeps the host as the last good spec says, where the present one is refused.
func (k *keeper) lastGood(ctx context.Context) time.Duration {
	doc, err := reconcile.LastGood(ctx, k.host)
	if err != nil || doc == nil {
		return noSpec
	}
	if doc.Spec.Reconcile.Drift == api.Repair {
		if _, err := k.apply(ctx, k.host, doc); err != nil {
			k.complain(message(err))
		}
	}
	return doc.Spec.Reconcile.Interval.D()
}

// report says what differs, without a change.
func (k *keeper) report(ctx context.Context, doc *api.Document) time.Duration {
	look, err := reconcile.FactFinder{Observer: k.host}.Look(ctx, &doc.Spec)
	if err != nil {
		k.complain(err.Error())
		return noSpec
	}
	interval := doc.Spec.Reconcile.Interval.D()
	if look.Plan.Empty() {
		k.told = ""
		return interval
	}
	text := "this host has drifted; not repaired, as reconcile.drift says. Repair would:"
	for _, s := range look.Plan.Steps() {
		text += " " + s.String() + ";"
	}
	k.complain(text)
	return interval
}

// complain says something once, not at every look.
func (k *keeper) complain(text string) {
	notify("STATUS=" + text)
	if text != k.told {
		k.log.Error(text)
	}
	k.told = text
}
