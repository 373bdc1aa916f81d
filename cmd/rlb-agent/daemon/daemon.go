// Package daemon is the long-running agent: it reconciles this host at start, and again when the spec changes, when the
// host changes, at regular looks, and on SIGHUP.
//
//   - loop decides what a tick does: apply an edited spec, repair drift, or wait.
//   - inbox collects the changes that the watches see, until the loop takes them.
//   - watchdog tells systemd that the loop is alive.
//
// Failover and export run in goroutines of their own and never wait for the loop.
package daemon

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	sdnotify "github.com/coreos/go-systemd/v22/daemon"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/cmd/rlb-agent/export"
	"rlb.dev/rlb-agent/cmd/rlb-agent/filewatch"
	"rlb.dev/rlb-agent/reconcile/backoff"
	"rlb.dev/rlb-agent/reconcile/cutoff"
	"rlb.dev/rlb-agent/reconcile/failover"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/peers"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/reconcile/serveon"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render"
)

// Machine is the host that the daemon reconciles; debian.Host implements it.
type Machine interface {
	Lockable
	failover.Host
	// WatchUnits calls changed with the name of a unit that may have changed, until ctx ends.
	WatchUnits(ctx context.Context, names []string, changed func(name string))
	// WatchRules calls changed when the rules of the firewall may have changed, until ctx ends.
	WatchRules(ctx context.Context, changed func()) error
	// Story returns what the agent, HAProxy and keepalived wrote to the journal since then: the newest entries, at most
	// "most" of them.
	Story(ctx context.Context, since time.Time, most int) ([]host.JournalEntry, error)
	PeerLink
	AdvertLink
	serveon.Host
	serveon.SuccessorHost
}

// Config has what the daemon needs. All fields are required.
type Config struct {
	Host        Machine
	Watchdog    *Watchdog                     // Host reports its progress to it
	Spec        string                        // absolute path of the spec file
	ReadSpec    func() (*api.Document, error) // reads and checks the spec
	LockTimeout time.Duration
	Rejoin      []string // the command that starts keepalived once a peer has left the former virtual router
	Log         *slog.Logger
	Version     string // of the agent
}

// Run keeps the host in sync until ctx ends.
func Run(ctx context.Context, c Config) {
	collectAt(daemonPercent)
	ctx, stop := context.WithCancel(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer stop()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)

	seen := newInbox(c.Spec)
	files := watch(ctx, c, seen)

	// Ready before the first run, not after it: the unit is ordered before haproxy and keepalived. Otherwise the first
	// run, which starts them, would wait for ever for this unit to become ready.
	notify(sdnotify.SdNotifyReady)
	report := newReporter(c.Host, c.Version, c.Log)
	exporter := export.New(export.Config{
		Host: c.Host, Status: report, Story: c.Host.Story, Spec: c.Spec, ReadSpec: c.ReadSpec, Log: c.Log, Version: c.Version,
	})
	report.exporter, report.recheck = exporter, exporter.HealthChanged
	peering := newPeering(c.Host, c.Version, c.Log, func(t peers.Table) { report.peersChanged(ctx, t) })
	report.peering = peering
	successor := serveon.NewSuccessor(c.Host, c.Log)
	peering.servesOn = successor.PeerServesOn
	measured := newHeadroomWatch(c.Host, c.Log)
	peering.yielded = measured.yielded
	over := failover.New(failover.Config{Host: c.Host, Publish: report.publish, TookOver: measured.tookOver, Log: c.Log})
	keeper := serveon.New(c.Host, c.Log, peering.drains)
	waits := filewatch.New(c.Log, func(string) { keeper.RecordChanged() })
	waits.Set(state.WaitFile)
	beside.Go(func() { keeper.Run(ctx) })
	beside.Go(func() { successor.Run(ctx) })
	beside.Go(func() { waits.Run(ctx) })
	servers := serverTeller{log: c.Log}
	cutter := &cutoff.Cutter{Host: c.Host, Log: c.Log, Seen: servers.look}
	tracked := filewatch.New(c.Log, func(path string) { over.TrackedFileChanged(path == filewatch.LookedUp) })
	tracked.Set(render.FaultFile, render.DrainFile)
	beside.Go(func() { over.Run(ctx) })
	beside.Go(func() { tracked.Run(ctx) })
	beside.Go(func() { cutter.Run(ctx) })
	beside.Go(func() { exporter.Run(ctx) })
	beside.Go(func() { peering.run(ctx) })
	beside.Go(func() { measured.run(ctx) })
	beside.Go(func() { keepRunFiles(ctx, report.host, report, c.Log) })

	applyRuntimeState(ctx, c, over, cutter, peering, measured)
	l := newLoop(c.Host, c, report)
	l.watch = func(look plan.Look) { files.Set(watchedFiles(c.Spec, look)...) }
	l.loadMemory(ctx)
	for why := (cause{started: true}); ; {
		var pause time.Duration
		found := l.drift.Found
		c.Watchdog.during(func() { pause = l.tick(ctx, why) })
		if !why.edited(c.Spec) {
			seen.judge(why.seen, l.drift.Found > found)
		}
		applyRuntimeState(ctx, c, over, cutter, peering, measured)
		why = l.wait(ctx, jitter(pause), seen, hangup)
		if ctx.Err() != nil {
			notify(sdnotify.SdNotifyStopping)
			return
		}
		if why.asked {
			c.Log.Info("asked to reconcile now")
			notify(reloading()) // before the run, not after it: jobs of haproxy and keepalived wait for the end of a reload
			notify(sdnotify.SdNotifyReady)
		}
	}
}

// applyRuntimeState passes the spec in force to the goroutines beside the loop.
func applyRuntimeState(ctx context.Context, c Config, over *failover.Failover, cutter *cutoff.Cutter, peering *peering, measured *headroomWatch) {
	force, err := state.ReadInForce(ctx, c.Host)
	switch {
	case ctx.Err() != nil: // the agent is stopping
		return
	case err != nil:
		c.Log.Warn("cannot read which spec is in force: " + err.Error())
		return
	}
	if force == nil {
		force = new(state.InForce)
	} else {
		peering.applySpec(force.Interface, selfOf(ctx, c.Host, force))
	}
	cutter.ApplySpec(force.Spec)
	force.Spec = nil // not kept in memory: it may be large
	measured.applySpec(*force)
	over.ApplyRuntimeState(ctx, *force)
}

// watch puts changes on the host into the inbox until ctx ends.
func watch(ctx context.Context, c Config, seen *inbox) *filewatch.Watch {
	files := filewatch.New(c.Log, seen.put)
	files.Set(c.Spec)
	go files.Run(ctx)
	go c.Host.WatchUnits(ctx, plan.WatchedUnits, seen.put)
	for what, watch := range map[string]func(context.Context, func()) error{"addresses": c.Host.WatchAddresses, "firewall": c.Host.WatchRules} {
		go watchAgain(ctx, watch, func() { seen.put(what) }, c.Log)
	}
	return files
}

// watchAgain watches until ctx ends. A watch that ends with an error begins again after a pause.
func watchAgain(ctx context.Context, watch func(context.Context, func()) error, changed func(), log *slog.Logger) {
	pause, last := backoff.Backoff{First: time.Second, Most: time.Minute, Quiet: time.Minute}, ""
	pause.Repeat(ctx, func(ctx context.Context) error { return watch(ctx, changed) }, func(err error) {
		if err.Error() != last {
			last = err.Error()
			log.Warn("cannot watch for changes: until this works again, only the regular check sees them", "err", err)
		}
	})
}

// watchedFiles returns the files whose change can cause drift: the rendered files, the files that hold the paths of the
// configurations, and dpkg's record of installed and held packages.
func watchedFiles(spec string, look plan.Look) []string {
	paths := []string{spec, "/etc/default/haproxy", "/etc/default/keepalived", "/var/lib/dpkg/status"}
	for _, f := range look.Desired.Files {
		paths = append(paths, f.Path)
	}
	return paths
}

// wait waits for a reason for the next tick.
func (l *loop) wait(ctx context.Context, pause time.Duration, seen *inbox, hangup <-chan os.Signal) cause {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return cause{}
		case <-hangup:
			return cause{asked: true, seen: seen.take(l.isNews)}
		case <-timer.C:
			if seen.edited() { // a regular look must not read half a spec either
				seen.settle(ctx)
			}
			return cause{seen: seen.take(l.isNews)}
		case <-l.Watchdog.due():
			l.Watchdog.ping()
		case <-seen.bell:
			if !seen.any(l.isNews) { // the agent made this change itself, and has looked at the host since
				continue
			}
			seen.settle(ctx)
			if news := seen.take(l.isNews); len(news) > 0 {
				return cause{seen: news}
			}
		}
	}
}

// isNews reports whether a change seen at that time is newer than the agent's last look.
func (l *loop) isNews(what string, at time.Time) bool {
	if isSpec(what, l.Spec) {
		return at.After(l.readAt)
	}
	return at.After(l.lookedAt)
}

// jitter spreads the regular looks of many hosts over time: ±10 %.
func jitter(pause time.Duration) time.Duration {
	// #nosec G404 -- nobody gains by guessing it
	return pause + time.Duration((rand.Float64()-0.5)*0.2*float64(pause))
}
