package daemon

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestWatchAgain: a watch that ends with an error begins again, and the same error is logged once.
func TestWatchAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		calls, changes := 0, 0
		ctx, cancel := context.WithCancel(t.Context())
		go watchAgain(ctx, func(ctx context.Context, changed func()) error {
			if calls++; calls < 4 {
				return errors.New("cannot watch the firewall: too many open files")
			}
			changed()
			<-ctx.Done()
			return nil
		}, func() { changes++ }, slog.New(slog.NewTextHandler(&log, nil)))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if calls != 4 || changes != 1 {
			t.Errorf("%d calls, %d changes seen", calls, changes)
		}
		if n := strings.Count(log.String(), "cannot watch for changes"); n != 1 {
			t.Errorf("logged %d times: %s", n, &log)
		}
		cancel()
		synctest.Wait()
	})
}
