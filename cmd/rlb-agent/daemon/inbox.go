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

// How long the daemon waits for a burst of changes to end: in the middle of an edit a file is half written. The longest
// times let endless edits take effect too.
const (
	quietTime   = 200 * time.Millisecond // for the spec, while a program may have it open for writing
	writerPause = 10 * time.Millisecond  // until the next check whether a program has it open for writing
	longestEdit = 5 * time.Second
	quietHost   = 100 * time.Millisecond
	longestWait = 500 * time.Millisecond // for changes of the host
)

// newQuietPeriod returns a pause for a source that changes often but never causes drift, for example firewall rules on
// a host with containers: each look that finds nothing lengthens the pause before the next look.
func newQuietPeriod() *quietPeriod {
	return &quietPeriod{Backoff: backoff.Backoff{First: 250 * time.Millisecond, Most: 5 * time.Second, Quiet: 30 * time.Second}}
}

// quietPeriod is the pause after a look that found nothing. If a change arrives during the pause, the bell rings at its
// end.
type quietPeriod struct {
	backoff.Backoff
	rings bool
}

// inbox collects changes until the loop takes them. put never waits.
type inbox struct {
	spec     string      // path of the spec file
	complete func() bool // reports that no program has the spec file open for writing

	mu    sync.Mutex
	seen  map[string]time.Time    // when each was last seen
	quiet map[string]*quietPeriod // sources whose last look found nothing
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

// judge records whether these changes were worth a look: right is true if it found drift.
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
		q := b.quiet[what]
		pause := q.Next()
		if _, q.rings = b.seen[what]; q.rings { // it changed again during the look: its ring came before this pause
			time.AfterFunc(pause, b.ring)
		}
	}
}

// take empties the inbox and returns its news.
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

// any reports whether the inbox has news that need not wait. It removes what is not news.
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

// settle waits until no change has arrived for a while: at most longestEdit if the spec changed, else longestWait. It
// does not wait for a spec that no program has open for writing.
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
