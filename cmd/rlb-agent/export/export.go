// Package export shows the state of this host as the spec in force configures it: Prometheus metrics and a read-only
// page over HTTP, and a file for node_exporter. It runs no commands and does not disturb keepalived. One exception:
// while a browser shows the page, it runs journalctl.
package export

import (
	"context"
	"log/slog"
	"slices"
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

// Config has what an Exporter needs. All fields are required.
type Config struct {
	Host     host.Host
	Status   StatusFile
	Story    readStory                     // reads the journal
	Spec     string                        // path of the spec file
	ReadSpec func() (*api.Document, error) // reads and checks the spec
	Log      *slog.Logger
	Version  string // of the agent
}

// Exporter shows this host. Make it with New.
type Exporter struct {
	Config
	current current
	runs    runs
	wake    chan struct{} // wakes the loop
	changed chan struct{} // the sources of the status have changed

	watchers watchers
	story    story
	changes  changes

	listeners map[string]*listener // by the field of the spec; used by the loop only
	textfile  textfile             // used by the loop only
	paths     rootpath.Walker      // the zero value except in tests
}

// New returns an exporter that shows nothing before Run.
func New(c Config) *Exporter {
	return &Exporter{
		Config: c, current: current{asking: make(chan struct{}, 1)}, wake: make(chan struct{}, 1), changed: make(chan struct{}, 1),
		watchers:  watchers{all: map[chan struct{}]bool{}, bell: make(chan struct{}, 1)},
		listeners: map[string]*listener{},
	}
}

// RunEnded takes over the result of a run of the reconciler, and the status after it. It never waits.
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

// HealthChanged reports that failover's verdict has changed. It never waits.
func (e *Exporter) HealthChanged() { wake.Up(e.changed) }

// StatusChanged takes over a status that was written between two runs. It never waits.
func (e *Exporter) StatusChanged(s status.Status) {
	e.current.set(s)
	e.poke()
}

// poke wakes the loop and the page's streams.
func (e *Exporter) poke() {
	wake.Up(e.wake)
	e.story.happened()
	e.watchers.poke()
}

// records are the files from which the status is made.
var records = []string{state.RoleFile, state.DriftFile, render.DrainFile}

// recordsQuiet is how long to wait for more changes of these files: a failover changes several.
const recordsQuiet = 50 * time.Millisecond

// Run shows the host until ctx ends. Then it removes what would become outdated.
func (e *Exporter) Run(ctx context.Context) {
	watch := filewatch.New(e.Log, func(string) { wake.Up(e.changed) })
	go watch.Run(ctx)
	defer e.close()
	for {
		var again <-chan time.Time
		if pause := e.follow(ctx); pause > 0 {
			again = time.After(pause)
		}
		paths := records
		if doc := e.current.spec(); doc != nil {
			if path, unix := socketPath(doc.Spec.Web.Address); unix {
				paths = append(slices.Clip(paths), path)
			}
		}
		watch.Set(paths...)
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

// follow does what the spec in force asks for. It returns the time until the next call if nothing happens, or 0.
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
