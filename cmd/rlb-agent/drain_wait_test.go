package main

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/state"
)

// waitHost is fake.Host without connections and network. The record of its wait is removed at a time.
type waitHost struct {
	*fake.Host
	gone time.Time
}

func (h waitHost) File(ctx context.Context, path string) (host.File, error) {
	if time.Now().After(h.gone) {
		_ = h.RemoveFile(ctx, state.WaitFile)
	}
	return h.Host.File(ctx, path)
}

func (waitHost) HAProxyServes(context.Context) bool                                 { return true }
func (waitHost) SendHeartbeat(string, netip.Addr, []netip.Addr, uint64) error       { return nil }
func (waitHost) SweepSessions(context.Context, []netip.Addr, []uint16) error        { return nil }
func (waitHost) CountSessions(context.Context, []netip.Addr, []uint16) (int, error) { return 0, nil }
func (waitHost) EndSessions(context.Context, []netip.Addr, []uint16) (int, error)   { return 0, nil }

func (waitHost) AnyAnswers(context.Context, string, []netip.Addr, time.Duration) (bool, error) {
	return false, nil
}

// TestAwaitRecordGone: the command ends when the record of its wait is gone, and no text says how it ended.
func TestAwaitRecordGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		h, out := waitHost{fake.New(), time.Now().Add(2 * time.Second)}, new(strings.Builder)
		wait := &state.Wait{Began: time.Now(), Until: time.Now().Add(time.Hour)}
		if err := wait.Write(ctx, h); err != nil {
			t.Fatal(err)
		}
		if err := (state.Waiting{Wait: *wait, Written: time.Now(), Moved: time.Now(), First: 5, Left: 5}).Write(ctx, h); err != nil {
			t.Fatal(err)
		}
		view := &waitView{app: &app{stdout: out, log: slog.New(slog.DiscardHandler)}, host: h}
		if err := view.await(ctx, wait, time.Now()); err != nil || ctx.Err() != nil || !strings.Contains(out.String(), "its record is gone") {
			t.Errorf("%v, %v, printed %q", err, ctx.Err(), out)
		}
	})
}
