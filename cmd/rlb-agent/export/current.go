package export

import (
	"context"
	"sync"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/status"
	"rlb.dev/rlb-agent/reconcile/wake"
)

// freshness is the greatest age of a shown status: however many readers, the host is looked at once a second at
// most.
const freshness = time.Second

// StatusFile is the status file of this host, which the agent keeps for other programs.
type StatusFile interface {
	// Follow updates the file after an event between two runs, and returns its status. doc is the spec in force. If no
	// run has written a status yet, the Kind is empty.
	Follow(ctx context.Context, doc *api.Document) (status.Status, error)
	// Refresh updates a recent status with what can be read without disturbing keepalived.
	Refresh(ctx context.Context, doc *api.Document, s status.Status) (status.Status, error)
}

// current holds what is known of this host.
type current struct {
	asking chan struct{} // capacity 1: taken while the status is being read

	mutex  sync.Mutex    // never held while the status is being read
	doc    *api.Document // the spec in force, or nil
	status status.Status
	at     time.Time // of the status
}

// set stores a newer status and returns the former one.
func (c *current) set(s status.Status) (before status.Status) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	before = c.status
	c.status, c.at = s, time.Now()
	return before
}

// spec returns the spec in force, or nil.
func (c *current) spec() *api.Document {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.doc
}

// get returns the status, its time, and the spec in force.
func (c *current) get() (status.Status, time.Time, *api.Document) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.status, c.at, c.doc
}

// replace stores a status that was made from the one of the time "from". It does not replace a newer one, and then returns
// false.
func (c *current) replace(s status.Status, from time.Time) bool {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if !c.at.Equal(from) {
		return false
	}
	c.status, c.at = s, time.Now()
	return true
}

// loadSpec loads the spec in force if it has changed.
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

// followRecords updates the status file.
func (e *Exporter) followRecords(ctx context.Context) {
	e.loadSpec(ctx)
	doc := e.current.spec()
	if doc == nil {
		return
	}
	_, at, _ := e.current.get()
	s, err := e.Status.Follow(ctx, doc)
	if err != nil && ctx.Err() == nil {
		e.Log.Warn("cannot bring the status up to date", "err", err)
	}
	if err == nil && s.Kind != "" {
		if !e.current.replace(s, at) { // a run ended meanwhile: which of the two is newer is not known
			wake.Up(e.changed)
		}
		e.story.happened()
		e.watchers.poke()
	}
}

// now returns the status, at most freshness old. If another reader is updating it, it waits for that result.
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
	// A reader that disconnects must not leave half a status for the others.
	if refreshed, err := e.Status.Refresh(context.WithoutCancel(ctx), doc, s); err == nil {
		e.current.replace(refreshed, at)
	}
	s, _, _ = e.current.get()
	return s
}

func stale(s status.Status, at time.Time, doc *api.Document) bool {
	return doc != nil && s.Kind != "" && time.Since(at) >= freshness
}
