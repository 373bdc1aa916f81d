package main

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/state"
)

// waitHost is fake.Host without connections and network. The record of its wait is removed at a time.
type waitHost struct {
	*fake.Host
	gone  time.Time
	agent string // ActiveState of its daemon
	ended *int   // calls of EndSessions
}

func (h waitHost) Unit(ctx context.Context, name string) (host.Unit, error) {
	if name == host.AgentUnit {
		return host.Unit{Name: name, ActiveState: h.agent}, nil
	}
	return h.Host.Unit(ctx, name)
}

func (h waitHost) EndSessions(context.Context, []netip.Addr, []uint16) (int, error) {
	*h.ended++
	return 5, nil
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

func (waitHost) AnyAnswers(context.Context, string, []netip.Addr, time.Duration) (bool, error) {
	return true, nil
}

// TestAwaitRecordGone: the command ends when the record of its wait is gone, and no text says how it ended.
func TestAwaitRecordGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		h, out := waitHost{Host: fake.New(), gone: time.Now().Add(2 * time.Second)}, new(strings.Builder)
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

// TestAwaitInterrupted: the connections are closed only if no daemon serves them, even if the daemon was slow to begin.
func TestAwaitInterrupted(t *testing.T) {
	for agent, want := range map[string]int{"active": 0, "inactive": 1} {
		synctest.Test(t, func(t *testing.T) {
			h, out := waitHost{Host: fake.New(), gone: time.Now().Add(time.Hour), agent: agent, ended: new(int)}, new(strings.Builder)
			doc, err := api.Parse("spec.yaml", []byte("apiVersion: rlb.dev/v1\nkind: LoadBalancerSpec\nvirtualIPs: [198.51.100.10]\n"+
				"services: [{name: web, port: 9000, servers: [{address: 198.51.100.21}]}]\n"))
			if err == nil {
				_, err = (&reconcile.Reconciler{Host: h.Host, Log: slog.New(slog.DiscardHandler)}).Once(t.Context(), doc)
			}
			wait := &state.Wait{Began: time.Now(), Until: time.Now().Add(time.Hour)}
			if err := errors.Join(err, wait.Write(t.Context(), h)); err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			close(done)
			view := &waitView{app: &app{stdout: out, log: slog.New(slog.DiscardHandler)}, host: h}
			if view.interrupted(t.Context(), true, done); *h.ended != want {
				t.Errorf("the daemon is %s: closed %d times, printed %q", agent, *h.ended, out)
			}
		})
	}
}
