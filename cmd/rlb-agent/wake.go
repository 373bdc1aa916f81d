package main

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// How long the daemon waits until what it saw is over: a look in the middle of an edit would find half of it. The
// longest times are there so that endless edits go live too.
const (
	quietTime   = 200 * time.Millisecond
	longestEdit = 5 * time.Second
	longestWait = time.Second // for changes of the host
)

// inbox collects what was seen to change, until the loop takes it. Who puts something in never waits.
type inbox struct {
	mu   sync.Mutex
	seen map[string]time.Time // when it was seen last
	bell chan struct{}
}

func newInbox() *inbox {
	return &inbox{seen: map[string]time.Time{}, bell: make(chan struct{}, 1)}
}

func (b *inbox) put(what string) {
	b.mu.Lock()
	b.seen[what] = time.Now()
	b.mu.Unlock()
	select {
	case b.bell <- struct{}{}:
	default:
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

// any says whether there is news in the inbox. What is not goes.
func (b *inbox) any(news func(what string, at time.Time) bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	maps.DeleteFunc(b.seen, func(what string, at time.Time) bool { return !news(what, at) })
	return len(b.seen) > 0
}

func (b *inbox) has(what string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, has := b.seen[what]
	return has
}

// settle waits until nothing was put in for a while, at most for the longest time of an edit if the spec is in it.
func (b *inbox) settle(ctx context.Context, spec string) {
	began := time.Now()
	for ctx.Err() == nil {
		longest := longestWait
		if b.has(spec) {
			longest = longestEdit
		}
		left := min(quietTime, longest-time.Since(began))
		if left <= 0 {
			return
		}
		select {
		case <-ctx.Done():
		case <-b.bell:
		case <-time.After(left):
			return
		}
	}
}
