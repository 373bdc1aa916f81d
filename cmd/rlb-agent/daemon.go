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

	k := keeper{app: a, host: h}
	for edited := true; ; {
		pause := k.keep(ctx, edited)
		notify(daemon.SdNotifyReady)
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
		return time.Minute
	}
	interval := doc.Spec.Reconcile.Interval.D()
	if doc.Digest == k.refused && !force {
		return interval
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
	notify("STATUS=reconciling")
	r := reconcile.Reconciler{Host: k.host, Log: k.log}
	_, err = r.Once(ctx, doc)
	k.refused = ""
	failure, missing := (*reconcile.Failure)(nil), (*reconcile.MissingFact)(nil)
	switch {
	case errors.As(err, &missing): // it may come with the network: try again
	case err == nil:
		k.applied, k.told, k.retry = doc.Digest, "", 0
		notify("STATUS=this host is as " + k.spec + " says")
		return interval
	case !errors.As(err, &failure), failure.Undone:
		k.refused = doc.Digest
		k.complain(message(err))
		return interval
	}
	k.complain(message(err))
	k.retry = min(max(2*k.retry, firstRetry), lastRetry)
	return min(k.retry, interval)
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
