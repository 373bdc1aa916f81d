// Package backoff waits longer each time that something fails again.
package backoff

import (
	"context"
	"time"
)

// Backoff is an exponential back-off: the first pause, then twice as long after each further failure. First and Most are
// required. It is for one goroutine at a time.
type Backoff struct {
	First time.Duration // the first pause
	Most  time.Duration // the longest pause
	// Quiet is how long after the end of the last pause a failure counts as the first one again; 0 is never.
	Quiet time.Duration

	pause time.Duration // the present one; 0 before the first failure
	until time.Time     // its end
}

// Next notes a failure now, and returns the pause after it.
func (b *Backoff) Next() time.Duration {
	now := time.Now()
	if b.Over(now) {
		b.pause = 0
	}
	b.pause = min(max(2*b.pause, b.First), b.Most)
	b.until = now.Add(b.pause)
	return b.pause
}

// Left is what is left of the pause now.
func (b *Backoff) Left() time.Duration { return max(0, time.Until(b.until)) }

// Over says whether a failure at this time would count as the first one, for the last one is long ago.
func (b *Backoff) Over(now time.Time) bool { return b.Quiet > 0 && now.Sub(b.until) > b.Quiet }

// Exhausted says whether the present pause is the longest one.
func (b *Backoff) Exhausted() bool { return b.pause == b.Most }

// Reset ends the pause: the next failure counts as the first one.
func (b *Backoff) Reset() { b.pause, b.until = 0, time.Time{} }

// Wait notes a failure and waits for the pause after it, or until ctx ends.
func (b *Backoff) Wait(ctx context.Context) {
	timer := time.NewTimer(b.Next())
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// Repeat calls do until ctx ends, with a pause after each call. failed is told of each error.
func (b *Backoff) Repeat(ctx context.Context, do func(context.Context) error, failed func(error)) {
	for ctx.Err() == nil {
		err := do(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			failed(err)
		}
		b.Wait(ctx)
	}
}
