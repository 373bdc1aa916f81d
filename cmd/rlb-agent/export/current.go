package export

import (
	"context"
	"sync"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/status"
)

// freshness is how old a status may be that is shown: many readers make no more than one look a second.
const freshness = time.Second

// StatusFile is the file in which the agent leaves the host's status for other programs.
type StatusFile interface {
	// Follow brings the file up to date after an event between two runs, and returns the status in it. doc is the spec
	// in force. Where no run has left a status yet, its Kind is empty.
	Follow(ctx context.Context, doc *api.Document) (status.Status, error)
	// Refresh brings a status of a moment ago up to date in what can be seen without disturbing keepalived.
	Refresh(ctx context.Context, doc *api.Document, s status.Status) (status.Status, error)
}

// current is what is known of this host.
type current struct {
	asking chan struct{} // of one place: taken while the host is asked for the status

	mutex  sync.Mutex    // never held while anybody is asked
	doc    *api.Document // the spec in force, or nil
	status status.Status
	at     time.Time // of the status
}

// set takes over a newer status, and returns the former one.
func (c *current) set(s status.Status) (before status.Status) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	before = c.status
	c.status, c.at = s, time.Now()
	return before
}

// spec is the spec in force, or nil.
func (c *current) spec() *api.Document {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.doc
}

// get is the status, when it was taken, and the spec in force.
func (c *current) get() (status.Status, time.Time, *api.Document) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.status, c.at, c.doc
}

// replace takes over a status that was made from the one of that time. A newer one stays.
func (c *current) replace(s status.Status, from time.Time) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.at.Equal(from) {
		c.status, c.at = s, time.Now()
	}
}

// loadSpec looks which spec is in force.
func (e *Exporter) loadSpec(ctx context.Context) {
	history, err := state.History(ctx, e.Host)
	if err != nil || len(history) == 0 {
		return
	}
	if known := e.current.spec(); known != nil && known.Digest == history[len(history)-1].Digest {
		return
	}
	if doc, err := state.LastGood(ctx, e.Host); err == nil {
		e.current.mutex.Lock()
		e.current.doc = doc
		e.current.mutex.Unlock()
	}
}

// followRecords brings the status file up to date.
func (e *Exporter) followRecords(ctx context.Context) {
	e.loadSpec(ctx)
	doc := e.current.spec()
	if doc == nil {
		return
	}
	s, err := e.Status.Follow(ctx, doc)
	if err != nil && ctx.Err() == nil {
		e.Log.Warn("cannot bring the status up to date", "err", err)
	}
	if err == nil && s.Kind != "" {
		e.current.set(s)
		e.story.happened()
		e.watchers.poke()
	}
}

// now is the status, at most freshness old. A reader that finds the host being asked waits for that answer.
func (e *Exporter) now(ctx context.Context) status.Status {
	if s, at, doc := e.current.get(); !stale(s, at, doc) {
		return s
	}
	select {
	case e.current.asking <- struct{}{}:
		defer func() { <-e.current.asking }()
	case <-ctx.Done():
	}
	s, at, doc := e.current.get()
	if ctx.Err() != nil || !stale(s, at, doc) {
		return s
	}
	// A reader that goes away must not leave half a status to the others.
	if refreshed, err := e.Status.Refresh(context.WithoutCancel(ctx), doc, s); err == nil {
		e.current.replace(refreshed, at)
	}
	s, _, _ = e.current.get()
	return s
}

func stale(s status.Status, at time.Time, doc *api.Document) bool {
	return doc != nil && s.Kind != "" && time.Since(at) >= freshness
}
