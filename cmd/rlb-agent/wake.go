package main

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"rlb.dev/rlb-agent/cmd/rlb-agent/filewatch"
)

// How long the daemon waits until what it saw is over: a look in the middle of an edit would find half of it. The
// longest times are there so that endless edits go live too.
const (
	quietTime   = 200 * time.Millisecond // of the spec: some programs write it in pieces
	longestEdit = 5 * time.Second
	quietHost   = 100 * time.Millisecond
	longestWait = 500 * time.Millisecond // for changes of the host
)

// What changes all the time and is never wrong, as rules do where containers come and go, is listened to less: each
// look in vain makes the pause until the next one longer.
const (
	firstCalm = 250 * time.Millisecond
	lastCalm  = 5 * time.Second
	calmOver  = 30 * time.Second // after so long without a look in vain
)

// inbox collects what was seen to change, until the loop takes it. Who puts something in never waits.
type inbox struct {
	mu   sync.Mutex
	seen map[string]time.Time // when it was seen last
	calm map[string]calm      // what was looked at in vain
	bell chan struct{}
}

// calm is a pause, and the look in vain after which it began. It rings at its end if something comes meanwhile.
type calm struct {
	pause time.Duration
	began time.Time
	rings bool
}

func newInbox() *inbox {
	return &inbox{seen: map[string]time.Time{}, calm: map[string]calm{}, bell: make(chan struct{}, 1)}
}

func (b *inbox) put(what string) {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen[what] = now
	c := b.calm[what]
	switch left := c.began.Add(c.pause).Sub(now); {
	case left <= 0:
		b.ring()
	case !c.rings:
		c.rings = true
		b.calm[what] = c
		time.AfterFunc(left, b.ring)
	}
}

func (b *inbox) ring() {
	select {
	case b.bell <- struct{}{}:
	default:
	}
}

// judge says whether there was a reason to look because of this.
func (b *inbox) judge(seen []string, right bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for _, what := range seen {
		last := b.calm[what]
		switch {
		case right:
			delete(b.calm, what)
		case now.Sub(last.began) > calmOver:
			b.calm[what] = calm{pause: firstCalm, began: now}
		default:
			b.calm[what] = calm{pause: min(2*last.pause, lastCalm), began: now}
		}
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
		if c := b.calm[what]; time.Since(c.began) >= c.pause {
			return true
		}
	}
	return false
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
		quiet, longest := quietHost, longestWait
		if b.has(spec) || b.has(filewatch.LookedUp) {
			quiet, longest = quietTime, longestEdit
		}
		left := min(quiet, longest-time.Since(began))
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
