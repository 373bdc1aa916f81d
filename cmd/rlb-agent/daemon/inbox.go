package daemon

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"rlb.dev/rlb-agent/cmd/rlb-agent/filewatch"
	"rlb.dev/rlb-agent/reconcile/backoff"
	"rlb.dev/rlb-agent/reconcile/wake"
)

// How long the daemon waits until what it saw is over: a look in the middle of an edit would find half of it. The
// longest times are there so that endless edits go live too.
const (
	quietTime   = 200 * time.Millisecond // of a spec of which it is not known that nobody writes it
	writerPause = 10 * time.Millisecond  // until it is asked again whether somebody writes it
	longestEdit = 5 * time.Second
	quietHost   = 100 * time.Millisecond
	longestWait = 500 * time.Millisecond // for changes of the host
)

// newQuietPeriod is for what changes all the time and never makes this host differ from the spec, as rules do where
// containers come and go: each look that finds nothing makes the pause until the next one longer.
func newQuietPeriod() *quietPeriod {
	return &quietPeriod{Backoff: backoff.Backoff{First: 250 * time.Millisecond, Most: 5 * time.Second, Quiet: 30 * time.Second}}
}

// quietPeriod is the pause after a look that found nothing. The bell rings at its end if something comes meanwhile.
type quietPeriod struct {
	backoff.Backoff
	rings bool
}

// inbox collects what was seen to change, until the loop takes it. Who puts something in never waits.
type inbox struct {
	spec     string      // path of the spec file
	complete func() bool // nobody writes the spec file

	mu    sync.Mutex
	seen  map[string]time.Time    // when it was seen last
	quiet map[string]*quietPeriod // what was looked at and had not changed
	bell  chan struct{}
}

func newInbox(spec string) *inbox {
	return &inbox{spec: spec, complete: func() bool { return filewatch.Complete(spec) }, seen: map[string]time.Time{}, quiet: map[string]*quietPeriod{}, bell: make(chan struct{}, 1)}
}

func (b *inbox) put(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen[what] = time.Now()
	switch q := b.quiet[what]; {
	case q == nil || q.Left() == 0:
		b.ring()
	case !q.rings:
		q.rings = true
		time.AfterFunc(q.Left(), b.ring)
	}
}

func (b *inbox) ring() { wake.Up(b.bell) }

// judge says whether there was a reason to look because of this.
func (b *inbox) judge(seen []string, right bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, what := range seen {
		if right {
			delete(b.quiet, what)
			continue
		}
		if b.quiet[what] == nil {
			b.quiet[what] = newQuietPeriod()
		}
		b.quiet[what].rings = false
		b.quiet[what].Next()
	}
}

// take empties the inbox, and returns what is news in it.
func (b *inbox) take(news func(what string, at time.Time) bool) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []string
	for what, at := range b.seen {
		if news(what, at) {
			found = append(found, what)
		}
	}
	clear(b.seen)
	slices.Sort(found)
	return found
}

// any says whether there is news in the inbox that need not wait. What is no news goes.
func (b *inbox) any(news func(what string, at time.Time) bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	maps.DeleteFunc(b.seen, func(what string, at time.Time) bool { return !news(what, at) })
	for what := range b.seen {
		if q := b.quiet[what]; q == nil || q.Left() == 0 {
			return true
		}
	}
	return false
}

func (b *inbox) edited() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for what := range b.seen {
		if isSpec(what, b.spec) {
			return true
		}
	}
	return false
}

// settle waits until nothing was put in for a while, at most for the longest time of an edit if the spec is in it. A spec
// that nobody writes any more does not wait.
func (b *inbox) settle(ctx context.Context) {
	began, last := time.Now(), time.Now()
	for ctx.Err() == nil {
		edited := b.edited()
		quiet, longest, pause := quietHost, longestWait, quietHost
		if edited {
			quiet, longest, pause = quietTime, longestEdit, writerPause
		}
		left := min(quiet-time.Since(last), longest-time.Since(began))
		if left <= 0 || edited && b.complete() {
			return
		}
		select {
		case <-ctx.Done():
		case <-b.bell:
			last = time.Now()
		case <-time.After(min(left, pause)):
		}
	}
}
