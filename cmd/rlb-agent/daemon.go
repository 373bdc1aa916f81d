package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/fsnotify/fsnotify"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
)

const (
	quietTime   = 300 * time.Millisecond // an edit is over when the directory was quiet for so long …
	longestEdit = 5 * time.Second        // … or after this, so that endless edits go live too
	firstRetry  = 2 * time.Second        // pause after a failure; it doubles each time
	lastRetry   = 5 * time.Minute
)

// daemon reconciles at start, and again when the spec changes, when the host may have drifted, and when asked to.
func (a *app) daemon(ctx context.Context) error {
	h, err := a.host()
	if err != nil {
		return err
	}
	defer h.Close()
	if err := h.Ready(ctx); err != nil {
		return err
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("cannot watch the spec: %w", err)
	}
	defer watcher.Close()
	// the directory and not the file: editors and ConfigMaps replace the file
	if err := watcher.Add(filepath.Dir(a.spec)); err != nil {
		return fmt.Errorf("cannot watch the directory of %s: %w", a.spec, err)
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)

	// Ready before the first run, not after it: the unit is ordered before haproxy and keepalived, and starting those
	// would wait for it for ever.
	notify(daemon.SdNotifyReady)
	k := keeper{app: a, host: h}
	for edited := true; ; {
		pause := k.keep(ctx, edited)
		timer := time.NewTimer(pause)
		edited = false
		select {
		case <-ctx.Done():
			notify(daemon.SdNotifyStopping)
			return nil
		case <-hangup:
			a.log.Info("asked to reconcile now")
			edited = true
		case <-timer.C:
		case err := <-watcher.Errors:
			a.log.Warn("cannot watch the spec, it is read again", "err", err)
		case <-watcher.Events:
			settle(ctx, watcher.Events)
		}
		timer.Stop()
	}
}

// settle waits until the edit is over.
func settle(ctx context.Context, events <-chan fsnotify.Event) {
	longest := time.After(longestEdit)
	for {
		select {
		case <-events:
		case <-time.After(quietTime):
			return
		case <-longest:
			return
		case <-ctx.Done():
			return
		}
	}
}

func notify(state string) {
	_, _ = daemon.SdNotify(false, state) // not being under systemd is fine
}

// keeper remembers between two runs what must not be tried or told again.
type keeper struct {
	*app
	host    *host.Host
	applied string // digest of the spec that was applied
	refused string // digest of the spec that was refused or rolled back: not tried again until it changes
	told    string // last complaint, said once
	retry   time.Duration
}

// keep reconciles where there is a reason to, and says how long to wait for the next look.
func (k *keeper) keep(ctx context.Context, force bool) time.Duration {
	doc, err := k.trustedSpec()
	if err != nil {
		k.complain(message(err))
		return k.lastGoodAlone(ctx)
	}
	interval := doc.Spec.Reconcile.Interval.D()
	if doc.Digest == k.refused && !force {
		return k.lastGoodAlone(ctx)
	}
	if doc.Digest == k.applied && doc.Spec.Reconcile.Drift == api.Report && !force {
		k.report(ctx, doc)
		return interval
	}
	unlock, err := k.host.Lock(ctx, k.lockTimeout)
	if err != nil {
		k.complain(err.Error())
		return interval
	}
	defer unlock()
	if trial, err := reconcile.RunningTrial(ctx, k.host); err != nil {
		k.complain(err.Error())
		return interval
	} else if trial != nil && !trial.Over(time.Now()) {
		notify("STATUS=standing still while " + trial.File + " is tried")
		return time.Until(trial.Deadline) + time.Second // its end comes from elsewhere; after that this is the second line
	}
	notify("STATUS=reconciling")
	_, err = k.apply(ctx, k.host, doc)
	failure, field := (*reconcile.Failure)(nil), (*reconcile.FieldError)(nil)
	switch {
	case err == nil:
		k.applied, k.refused, k.told, k.retry = doc.Digest, "", "", 0
		notify("STATUS=this host is as " + k.spec + " says")
		return interval
	case errors.As(err, &failure) && failure.Undone && failure.Undo == nil, !errors.As(err, &failure) && !errors.As(err, &field):
		k.refused = doc.Digest
		k.complain(message(err))
		return k.lastGood(ctx)
	}
	k.complain(message(err)) // it may pass
	k.retry = min(max(2*k.retry, firstRetry), lastRetry)
	return min(k.retry, interval)
}

// lastGoodAlone is lastGood for who does not hold the lock.
func (k *keeper) lastGoodAlone(ctx context.Context) time.Duration {
	unlock, err := k.host.Lock(ctx, k.lockTimeout)
	if err != nil {
		k.log.Warn(err.Error())
		return time.Minute
	}
	defer unlock()
	if trial, err := reconcile.RunningTrial(ctx, k.host); err != nil || trial != nil && !trial.Over(time.Now()) {
		return time.Minute
	}
	return k.lastGood(ctx)
}

// lastGood keeps the host as the last good spec says, where the present one is refused. The lock is held.
func (k *keeper) lastGood(ctx context.Context) time.Duration {
	doc, err := reconcile.LastGood(ctx, k.host)
	if err != nil || doc == nil {
		return time.Minute
	}
	if doc.Spec.Reconcile.Drift == api.Repair {
		if _, err := k.apply(ctx, k.host, doc); err != nil {
			k.log.Error(message(err))
		}
	}
	return doc.Spec.Reconcile.Interval.D()
}

// report says what differs, without a change.
func (k *keeper) report(ctx context.Context, doc *api.Document) {
	look, err := reconcile.FactFinder{Observer: k.host}.Look(ctx, &doc.Spec)
	if err != nil {
		k.complain(err.Error())
		return
	}
	if look.Plan.Empty() {
		k.told = ""
		return
	}
	text := "this host has drifted; not repaired, as reconcile.drift says. Repair would:"
	for _, s := range look.Plan.Steps() {
		text += " " + s.String() + ";"
	}
	k.complain(text)
}

// complain says something once, not at every look.
func (k *keeper) complain(text string) {
	notify("STATUS=" + text)
	if text != k.told {
		k.log.Error(text)
	}
	k.told = text
}
