package backoff_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"rlb.dev/rlb-agent/reconcile/backoff"
)

func pauses(b *backoff.Backoff, n int) (all []time.Duration) {
	for range n {
		all = append(all, b.Next())
	}
	return all
}

func TestPausesDouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := backoff.Backoff{First: time.Second, Most: 5 * time.Second}
		if got, want := pauses(&b, 4), []time.Duration{1e9, 2e9, 4e9, 5e9}; !slices.Equal(got, want) {
			t.Errorf("pauses %v, want %v", got, want)
		}
		if !b.Exhausted() || b.Left() != b.Most {
			t.Errorf("after them: exhausted %t, left %v", b.Exhausted(), b.Left())
		}
		time.Sleep(time.Hour) // without Quiet, earlier failures always count
		if b.Left() != 0 || b.Next() != b.Most {
			t.Error("a long time later it begins anew")
		}
		b.Reset()
		if b.Left() != 0 || b.Exhausted() || b.Next() != b.First {
			t.Error("after Reset it does not begin anew")
		}
	})
}

func TestQuietTimeForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := backoff.Backoff{First: time.Second, Most: time.Minute, Quiet: 10 * time.Second}
		pauses(&b, 3)
		time.Sleep(4*time.Second + b.Quiet)
		if got := b.Next(); got != 8*time.Second {
			t.Errorf("at the end of the quiet time the pause is %v", got)
		}
		time.Sleep(8*time.Second + b.Quiet + 1)
		if got := b.Next(); got != b.First {
			t.Errorf("after the quiet time the pause is %v", got)
		}
	})
}

func TestRepeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		var at []time.Duration
		var errs []error
		broken := errors.New("broken")
		b := backoff.Backoff{First: time.Second, Most: time.Minute}
		b.Repeat(ctx, func(context.Context) error {
			at = append(at, time.Since(began))
			if len(at) == 4 {
				cancel()
			}
			return broken
		}, func(err error) { errs = append(errs, err) })
		if want := []time.Duration{0, 1e9, 3e9, 7e9}; !slices.Equal(at, want) {
			t.Errorf("called at %v, want %v", at, want)
		}
		if !slices.Equal(errs, []error{broken, broken, broken}) { // the fourth error comes after ctx ended
			t.Errorf("told of %v", errs)
		}
	})
}
