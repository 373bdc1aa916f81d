package failover

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestAwaitSilence: with two hosts, the first goodbye ends the wait. With three and seven, the remaining hosts take over one
// after the other, and the last goodbye ends the wait.
func TestAwaitSilence(t *testing.T) {
	const period, skew = 100 * time.Millisecond, 3 * time.Millisecond
	for _, test := range []struct {
		name         string
		routers      int // remaining hosts, each one master for a while
		goodbyes     bool
		afterGoodbye time.Duration
		late         time.Duration // the longest time from the last advertisement to the end of the wait
	}{
		{"of two", 1, true, 0, 0},
		{"of three", 2, true, 200 * time.Millisecond, 200 * time.Millisecond},
		{"of seven", 6, true, 200 * time.Millisecond, 200 * time.Millisecond},
		{"of seven that crash", 6, false, 200 * time.Millisecond, 400 * time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var last time.Time
				hear := func(ctx context.Context, heard func(goodbye bool)) error {
					say := func(goodbye bool) {
						if ctx.Err() != nil {
							t.Error("it ended while a router was left")
						}
						last = time.Now()
						heard(goodbye)
					}
					for range test.routers {
						for range 5 {
							say(false)
							time.Sleep(period)
						}
						if test.goodbyes {
							say(true)
							time.Sleep(skew)
							continue
						}
						time.Sleep(2*period + skew)
					}
					<-ctx.Done()
					return nil
				}
				silent, err := silence{
					hear: hear, quiet: 4 * period, afterGoodbye: test.afterGoodbye,
					held: func(context.Context) (bool, error) { return true, nil },
				}.await(t.Context())
				if late := time.Since(last); err != nil || !silent || late > test.late+skew {
					t.Errorf("%v, %v after the last word", err, late)
				}
			})
		})
	}
}

// TestAwaitSilenceForged: an endless stream of advertisements keeps no host out unless a peer holds the virtual IPs. The wait
// is long enough for a backup to become master.
func TestAwaitSilenceForged(t *testing.T) {
	const period, forever = 100 * time.Millisecond, time.Hour
	broken := errors.New("no such device")
	for _, test := range []struct {
		name  string
		quiet time.Duration
		holds func(time.Duration) (bool, error) // the result after a time
		want  time.Duration
	}{
		{"alone", 4 * period, func(time.Duration) (bool, error) { return false, nil }, 2 * time.Second},
		{"beside a peer that is master", 4 * period, func(d time.Duration) (bool, error) { return d < 20*time.Second, nil }, 22 * time.Second},
		{"beside a failover of the peers", 4 * time.Second, func(d time.Duration) (bool, error) { return d > 3600*time.Millisecond, nil }, forever},
		{"where nobody can look for a holder", 4 * period, func(time.Duration) (bool, error) { return false, broken }, forever},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), forever)
				defer cancel()
				began := time.Now()
				silent, err := silence{
					hear: func(ctx context.Context, heard func(goodbye bool)) error {
						for ctx.Err() == nil {
							heard(false)
							time.Sleep(period / 10)
						}
						return nil
					},
					quiet: test.quiet,
					held:  func(context.Context) (bool, error) { return test.holds(time.Since(began)) },
				}.await(ctx)
				took := time.Since(began)
				if took < test.want || took > test.want+period || test.want < forever && (err != nil || silent) {
					t.Errorf("%t, %v, after %v", silent, err, took)
				}
			})
		})
	}
}
