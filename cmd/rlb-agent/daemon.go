package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"rlb.dev/rlb-agent/cmd/rlb-agent/export"
	"rlb.dev/rlb-agent/cmd/rlb-agent/filewatch"
	"rlb.dev/rlb-agent/reconcile/failover"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render"
)

// daemon reconciles at start, and again when the spec changes, when the host changes, at regular looks, and when asked
// to.
func (a *app) daemon(ctx context.Context) error {
	if a.spec == "-" {
		return usageError{errors.New("cannot watch standard input: give a file with --spec")}
	}
	spec, err := filepath.Abs(a.spec)
	if err != nil {
		return fmt.Errorf("cannot watch the spec: %w", err)
	}
	a.spec = spec
	alive := newPulse(notify)
	h, err := a.hostWith(alive.more)
	if err != nil {
		return err
	}
	defer h.Close()
	if err := h.Ready(ctx); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)

	seen := newInbox()
	files := filewatch.New(a.log, seen.put)
	files.Set(a.spec)
	go files.Run(ctx)
	go h.WatchUnits(ctx, watchedUnits, seen.put)
	go a.watching(ctx, "addresses", h.WatchAddresses, seen)
	go a.watching(ctx, "firewall", h.WatchRules, seen)

	// Ready before the first run, not after it: the unit is ordered before haproxy and keepalived, and starting those
	// would wait for it for ever.
	notify(daemon.SdNotifyReady)
	a.by = "the daemon"
	go a.keepRunFiles(ctx, h)
	failover, ended := a.startFailover(ctx, h)
	defer ended()
	a.applyRuntimeState(ctx, h, failover)
	defer a.startExport(ctx, h)()
	k := keeper{app: a, host: h, source: a.trustedSpec, step: alive.step, watch: func(look plan.Look) { files.Set(watched(a.spec, look)...) }}
	k.remember(ctx)
	for why := (cause{started: true}); ; {
		var pause time.Duration
		found := k.drift.Found
		debug.SetGCPercent(busyGC)
		alive.beat(func() { pause = k.keep(ctx, why) })
		if !why.edited(a.spec) {
			seen.judge(why.seen, k.drift.Found > found)
		}
		a.applyRuntimeState(ctx, h, failover)
		why = k.wait(ctx, jitter(pause), seen, hangup, alive)
		if ctx.Err() != nil {
			notify(daemon.SdNotifyStopping)
			return nil
		}
		if why.asked {
			a.log.Info("asked to reconcile now")
			notify(reloading()) // and not until the run has ended: jobs of haproxy and keepalived would wait for that
			notify(daemon.SdNotifyReady)
		}
	}
}

// startFailover begins to watch over the virtual IPs. It ends with ctx, and wait is for that.
func (a *app) startFailover(ctx context.Context, h *debian.Host) (f *failover.Failover, wait func()) {
	f = failover.New(failover.Config{Host: h, Log: a.log, Publish: func(ctx context.Context, r state.GuardRecord) error { return r.Write(ctx, h) }})
	tracked := filewatch.New(a.log, func(string) { f.TrackedFileChanged() })
	tracked.Set(render.FaultFile)
	var all sync.WaitGroup
	all.Go(func() { f.Run(ctx) })
	all.Go(func() { tracked.Run(ctx) })
	return f, all.Wait
}

// applyRuntimeState tells failover which spec is in force now.
func (a *app) applyRuntimeState(ctx context.Context, h *debian.Host, f *failover.Failover) {
	force, err := state.ReadInForce(ctx, h)
	if err != nil {
		a.log.Warn("cannot read which spec is in force: " + err.Error())
		return
	}
	if force == nil {
		force = new(state.InForce)
	}
	f.ApplyRuntimeState(ctx, *force)
}

// startExport begins to show this host, as the spec in force says. It ends with ctx, and wait is for that.
func (a *app) startExport(ctx context.Context, h host.Host) (wait func()) {
	e := export.New(export.Config{Host: h, Status: statusFileOf{&a.statusFile, h}, Log: a.log, Version: agentVersion()})
	a.shown = e
	var all sync.WaitGroup
	all.Go(func() { e.Run(ctx) })
	return all.Wait
}

// watching puts what a watch sees in the inbox.
func (a *app) watching(ctx context.Context, what string, watch func(context.Context, func()) error, seen *inbox) {
	if err := watch(ctx, func() { seen.put(what) }); err != nil {
		a.log.Warn("changes are seen at the regular look only", "err", err)
	}
}

// watchedUnits are those whose states the agent keeps.
var watchedUnits = []string{host.HAProxyUnit, host.KeepalivedUnit, render.FirewallUnit}

// watched are the files whose change may make this host differ from the spec: the rendered ones, those that say where
// they are, and dpkg's record of what is installed and held.
func watched(spec string, look plan.Look) []string {
	paths := []string{spec, "/etc/default/haproxy", "/etc/default/keepalived", "/var/lib/dpkg/status"}
	for _, f := range look.Desired.Files {
		paths = append(paths, f.Path)
	}
	return paths
}

// idleTime after a run nothing of it is still under way.
const idleTime = 2 * time.Second

// wait waits until there is a reason for the next run.
func (k *keeper) wait(ctx context.Context, pause time.Duration, seen *inbox, hangup <-chan os.Signal, alive *pulse) cause {
	timer, idle := time.NewTimer(pause), time.NewTimer(idleTime)
	defer timer.Stop()
	defer idle.Stop()
	for {
		var ping <-chan time.Time
		if alive.period > 0 {
			ping = time.After(alive.period)
		}
		select {
		case <-ctx.Done():
			return cause{}
		case <-hangup:
			return cause{asked: true, seen: seen.take(k.news)}
		case <-timer.C:
			return cause{seen: seen.take(k.news)}
		case <-idle.C:
			releaseMemory()
		case <-ping:
			alive.notify(daemon.SdNotifyWatchdog)
		case <-seen.bell:
			if !seen.any(k.news) { // what the agent did itself, and looked at since
				continue
			}
			seen.settle(ctx, k.spec)
			if news := seen.take(k.news); len(news) > 0 {
				return cause{seen: news}
			}
		}
	}
}

// news says whether what was seen then came after the agent's last look at it.
func (k *keeper) news(what string, at time.Time) bool {
	if what == k.spec || what == filewatch.LookedUp {
		return at.After(k.read)
	}
	return at.After(k.looked)
}

// jitter spreads the regular looks of many hosts.
func jitter(pause time.Duration) time.Duration {
	return pause + time.Duration((rand.Float64()-0.5)*0.2*float64(pause))
}

func notify(state string) {
	if !strings.HasPrefix(state, "RELOADING=1\n") {
		state, _, _ = strings.Cut(state, "\n") // further lines would be variables of their own
	}
	_, _ = daemon.SdNotify(false, state) // not being under systemd is fine
}

// reloading tells systemd that a reload has begun, by the clock that it wants (sd_notify(3)).
func reloading() string {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return daemon.SdNotifyReloading
	}
	return fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000)
}
