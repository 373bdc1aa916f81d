package failover

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

// reloader is a host on which the first reloads of keepalived fail.
type reloader struct {
	Host  // nil: trackAgain does not call the other methods
	calls int
}

func (r *reloader) TrackAgain(context.Context) error {
	if r.calls++; r.calls < 3 {
		return errors.New("cannot reload keepalived: a job is in the way")
	}
	return nil
}

// TestTracksAgain: a failed reload of keepalived after a directory of the tracked files was replaced is tried again.
func TestTracksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		h := &reloader{}
		f := &Failover{host: h, log: slog.New(slog.NewTextHandler(&log, nil)), health: &health{touched: make(chan struct{}, 1)}, replaced: make(chan struct{}, 1)}
		ctx, cancel := context.WithCancel(t.Context())
		go f.trackAgain(ctx)
		f.TrackedFileChanged(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		if h.calls != 3 || strings.Count(log.String(), "cannot reload keepalived") != 2 {
			t.Errorf("%d calls: %s", h.calls, &log)
		}
		cancel()
		synctest.Wait()
	})
}
