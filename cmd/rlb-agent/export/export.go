// Package export shows this host to others, where the spec in force asks for it: Prometheus metrics and a read-only
// page over HTTP, and a file for node_exporter. It looks only at what costs no command and does not disturb keepalived; only
// while somebody looks at the page, the journal is read.
package export

import (
	"context"
	"log/slog"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/cmd/rlb-agent/filewatch"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/rootpath"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/status"
	"rlb.dev/rlb-agent/reconcile/wake"
	"rlb.dev/rlb-agent/render"
)

// Config is what an Exporter works with. All of it is required.
type Config struct {
	Host     host.Host
	Status   StatusFile
	Story    readStory                     // the journal, with the newest of at most so many entries
	Spec     string                        // path of the spec file
	ReadSpec func() (*api.Document, error) // reads and checks it
	Log      *slog.Logger
	Version  string // of the agent
}

// Exporter shows this host. Make it with New.
type Exporter struct {
	Config
	current current
	runs    runs
	wake    chan struct{} // the loop has something to look at
	changed chan struct{} // what the status is made from

	watchers watchers
	story    story
	changes  changes

	listeners map[string]*listener // by the field of the spec; the loop's alone
	textfile  textfile             // the loop's alone
	paths     rootpath.Walker      // the zero value but in tests
}

// New is an exporter that shows nothing until it runs.
func New(c Config) *Exporter {
	return &Exporter{
		Config: c, current: current{asking: make(chan struct{}, 1)}, wake: make(chan struct{}, 1), changed: make(chan struct{}, 1),
		watchers:  watchers{all: map[chan struct{}]bool{}, bell: make(chan struct{}, 1)},
		listeners: map[string]*listener{},
	}
}

// RunEnded tells how a run of the reconciler ended, and the status of the host after it. It never waits.
func (e *Exporter) RunEnded(s status.Status, result reconcile.Result) {
	if s.LastReconcile == nil {
		return
	}
	before := e.current.set(s)
	if !result.Began.IsZero() || before.LastReconcile == nil || !before.LastReconcile.Time.Equal(s.LastReconcile.Time) { // else it was only a look
		e.runs.count(s.LastReconcile.Result, result.Time, time.Now())
	}
	e.poke()
}

// HealthChanged tells that failover has another verdict. It never waits.
func (e *Exporter) HealthChanged() { wake.Up(e.changed) }

// StatusChanged tells of a status that was written between two runs. It never waits.
func (e *Exporter) StatusChanged(s status.Status) {
	e.current.set(s)
	e.poke()
}

// poke makes the loop look again, and the page.
func (e *Exporter) poke() {
	wake.Up(e.wake)
	e.story.happened()
	e.watchers.poke()
}

// records are the files whose change makes the status another.
var records = []string{state.RoleFile, state.DriftFile, render.DrainFile}

// recordsQuiet is how long to wait for more changes of them: a failover makes several at once.
const recordsQuiet = 50 * time.Millisecond

// Run shows the host until ctx ends. Then nothing is left that would be read as true long after.
func (e *Exporter) Run(ctx context.Context) {
	watch := filewatch.New(e.Log, func(string) { wake.Up(e.changed) })
	watch.Set(records...)
	go watch.Run(ctx)
	defer e.close()
	for {
		var again <-chan time.Time
		if pause := e.follow(ctx); pause > 0 {
			again = time.After(pause)
		}
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
		case <-e.changed:
			time.Sleep(recordsQuiet)
			e.followRecords(ctx)
		case <-again:
		}
	}
}

// follow does what the spec in force asks for. It says when to do so again if nothing happens, or 0.
func (e *Exporter) follow(ctx context.Context) (again time.Duration) {
	e.loadSpec(ctx)
	again = e.listen()
	if d := e.writeTextfile(ctx); d > 0 && (again == 0 || d < again) {
		again = d
	}
	return again
}

func (e *Exporter) close() {
	for _, l := range e.listeners {
		l.close()
	}
	e.removeTextfile()
}
