// Package backoff implements an exponential back-off: the pause doubles after each further failure.
package backoff

import (
	"context"
	"time"
)

// Backoff is an exponential back-off: the first pause, then twice as long after each further failure. First and Most are
// required. Only one goroutine at a time may use a Backoff.
type Backoff struct {
	First time.Duration // the first pause
	Most  time.Duration // the longest pause
	// Quiet is the time after the end of the last pause after which a failure counts as the first one again; 0 is never.
	Quiet time.Duration

	pause time.Duration // the current pause; 0 before the first failure
	until time.Time     // the end of the pause
}

// Next records a failure now and returns the pause that follows it.
func (b *Backoff) Next() time.Duration {
	now := time.Now()
	if b.Over(now) {
		b.pause = 0
	}
	b.pause = min(max(2*b.pause, b.First), b.Most)
	b.until = now.Add(b.pause)
	return b.pause
}

// Left returns the rest of the pause from now on.
func (b *Backoff) Left() time.Duration { return max(0, time.Until(b.until)) }

// Over says whether a failure at this time would count as the first one, because more than Quiet has passed.
func (b *Backoff) Over(now time.Time) bool { return b.Quiet > 0 && now.Sub(b.until) > b.Quiet }

// Exhausted says whether the current pause is the longest one.
func (b *Backoff) Exhausted() bool { return b.pause == b.Most }

// Reset ends the pause: the next failure counts as the first one.
func (b *Backoff) Reset() { b.pause, b.until = 0, time.Time{} }

// Wait records a failure and waits for the pause that follows it, or until ctx ends.
func (b *Backoff) Wait(ctx context.Context) {
	timer := time.NewTimer(b.Next())
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// Repeat calls do until ctx ends, with a pause after each call. It calls failed with each error, except one from a call
// during which ctx ended.
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
