package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/fsnotify/fsnotify"
)

const (
	quietTime   = 300 * time.Millisecond // an edit is over when the directory was quiet for so long …
	longestEdit = 5 * time.Second        // … or after this, so that endless edits go live too
)

// daemon reconciles at start, and again when the spec changes, when the host may have drifted, and when asked to.
func (a *app) daemon(ctx context.Context) error {
	if a.spec == "-" {
		return usageError{errors.New("cannot watch standard input: give a file with --spec")}
	}
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
	a.by = "the daemon"
	guards, ended := a.startGuards(ctx, h)
	defer ended()
	k := keeper{app: a, host: h}
	for edited := true; ; {
		pause := k.keep(ctx, edited)
		guards.heed(ctx)
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
	state, _, _ = strings.Cut(state, "\n") // further lines would be variables of their own
	_, _ = daemon.SdNotify(false, state)   // not being under systemd is fine
}
