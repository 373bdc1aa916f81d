package main

import (
	"context"
	"sync"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/status"
	"rlb.dev/rlb-agent/render"
)

// endpoints are where the daemon shows how this host is: metrics, a page, a file for node_exporter, and the status file,
// which follows what happens between two runs. They look only at what costs no command and does not disturb keepalived.
type endpoints struct {
	*app
	host  host.Host
	tally tally
	ended chan struct{} // a run has

	listeners map[string]*listener // by the field of the spec; of the loop alone
	textfile  textfile

	mutex  sync.Mutex
	doc    *api.Document // the spec in force, or nil
	status status.Status
	at     time.Time // of the status
}

// recordsQuiet is how long to wait for more of them: a failover changes several at once.
const recordsQuiet = 50 * time.Millisecond

// freshness is how old a status may be that is shown: many readers cost no more than one a second.
const freshness = time.Second

// startEndpoints begins to show this host, as the spec in force says. They end with ctx, and wait is for that.
func (a *app) startEndpoints(ctx context.Context, h host.Host) (wait func()) {
	e := &endpoints{app: a, host: h, ended: make(chan struct{}, 1), listeners: map[string]*listener{}, textfile: textfile{log: a.log}}
	a.endpoints = e
	var all sync.WaitGroup
	all.Go(func() { e.run(ctx) })
	return all.Wait
}

// ran is told of the end of each run. It may be called on nil: outside of the daemon nobody is shown anything.
func (e *endpoints) ran(s status.Status, result reconcile.Result) {
	if e == nil || s.LastReconcile == nil {
		return
	}
	e.mutex.Lock()
	before := e.status.LastReconcile
	e.status, e.at = s, time.Now()
	e.mutex.Unlock()
	if !result.Began.IsZero() || before == nil || !before.Time.Equal(s.LastReconcile.Time) { // else it was only a look
		e.tally.ran(s.LastReconcile.Result, result.Time, time.Now())
	}
	select {
	case e.ended <- struct{}{}:
	default:
	}
}

func (e *endpoints) run(ctx context.Context) {
	changed := make(chan struct{}, 1)
	watch := newFileWatch(e.log, func(string) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	watch.set(records...)
	go watch.run(ctx)
	for {
		e.heed(ctx)
		pause := e.serve(ctx)
		if d := e.leaveTextfile(ctx); d > 0 && (pause == 0 || d < pause) {
			pause = d
		}
		var again <-chan time.Time
		if pause > 0 {
			again = time.After(pause)
		}
		select {
		case <-ctx.Done():
			e.close()
			return
		case <-e.ended:
		case <-changed:
			time.Sleep(recordsQuiet)
			e.refresh(ctx)
		case <-again:
		}
	}
}

// records are the files whose change makes the status another.
var records = []string{state.GuardFile, state.RoleFile, state.DriftFile, render.DrainFile}

// heed looks which spec is in force.
func (e *endpoints) heed(ctx context.Context) {
	history, err := state.History(ctx, e.host)
	if err != nil || len(history) == 0 {
		return
	}
	e.mutex.Lock()
	known := e.doc != nil && e.doc.Digest == history[len(history)-1].Digest
	e.mutex.Unlock()
	if known {
		return
	}
	if doc, err := state.LastGood(ctx, e.host); err == nil {
		e.mutex.Lock()
		e.doc = doc
		e.mutex.Unlock()
	}
}

// refresh brings the status file up to date.
func (e *endpoints) refresh(ctx context.Context) {
	e.heed(ctx)
	e.mutex.Lock()
	doc := e.doc
	e.mutex.Unlock()
	if doc == nil {
		return
	}
	e.statusMutex.Lock()
	defer e.statusMutex.Unlock()
	s, err := status.Follow(ctx, e.host, doc)
	if err != nil && ctx.Err() == nil {
		e.log.Warn("cannot bring the status up to date", "err", err)
	}
	if err != nil || s.Kind == "" {
		return
	}
	e.mutex.Lock()
	e.status, e.at = s, time.Now()
	e.mutex.Unlock()
}

// now is the status, at most freshness old.
func (e *endpoints) now(ctx context.Context) status.Status {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	if e.doc == nil || e.status.Kind == "" || time.Since(e.at) < freshness {
		return e.status
	}
	if s, err := status.Refresh(ctx, e.host, e.doc, e.status); err == nil {
		e.status, e.at = s, time.Now()
	}
	return e.status
}

// expose is all that is known, for Prometheus.
func (e *endpoints) expose(ctx context.Context, process bool) []byte {
	x := new(exposition)
	role, _ := state.ReadRole(ctx, e.host)
	exposeStatus(x, e.now(ctx), role.Transitions)
	e.tally.expose(x)
	if process {
		exposeProcess(x)
	}
	return []byte(x.String())
}
