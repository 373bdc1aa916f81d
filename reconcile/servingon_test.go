package reconcile_test

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/peers"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render"
)

func waitFor(d time.Duration) drainer {
	return func(ctx context.Context, r *reconcile.Reconciler, doc *api.Document) (reconcile.Result, error) {
		return r.Drain(ctx, doc, false, d)
	}
}

// holder is a host that holds the virtual IP, with a peer that answers for these addresses.
func holder(t *testing.T, more string, answers ...string) *fake.Host {
	t.Helper()
	h := installed(t, parse(t, spec+pairNodes+more))
	h.Net[1].Prefixes = append(h.Net[1].Prefixes, netip.MustParsePrefix("198.51.100.10/32"))
	h.Answers = map[netip.Addr]string{}
	for _, text := range answers {
		h.Answers[netip.MustParseAddr(text)] = "02:00:00:00:00:0c"
	}
	return h
}

func waitOf(t *testing.T, h *fake.Host) *state.Wait {
	t.Helper()
	w, err := state.ReadWait(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestDrainWaits: the wait is recorded before the move, and removed if the drain is taken back or refused.
func TestDrainWaits(t *testing.T) {
	const peer, vip = "198.51.100.12", "198.51.100.10"
	h := holder(t, "", peer, vip)
	h.Log = nil
	if _, err := draining(t, h, waitFor(10*time.Minute)); err != nil {
		t.Fatal(err)
	}
	at := func(path string) int {
		return slices.IndexFunc(h.Log, func(call string) bool { return strings.Contains(call, path) })
	}
	w := waitOf(t, h)
	if w == nil || w.Until.Sub(w.Began) != 10*time.Minute || at(state.WaitFile) < 0 || at(state.WaitFile) > at(render.DrainFile) {
		t.Errorf("%+v\n%s", w, strings.Join(h.Log, "\n"))
	}
	// it no longer holds them: a further drain changes the deadline
	h.Net[1].Prefixes = h.Net[1].Prefixes[:len(h.Net[1].Prefixes)-1]
	if _, err := draining(t, h, waitFor(20*time.Minute)); err != nil {
		t.Fatal(err)
	}
	if again := waitOf(t, h); again == nil || !again.Began.Equal(w.Began) || !again.Until.After(w.Until) {
		t.Errorf("another deadline: %+v, was %+v", again, w)
	}
	if _, err := draining(t, h, undrain); err != nil || waitOf(t, h) == nil {
		t.Errorf("undrain: %v, %v", err, waitOf(t, h))
	}
	if err := state.ForgetWait(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	if _, err := draining(t, h, waitFor(time.Minute)); err != nil || waitOf(t, h) != nil {
		t.Errorf("on a standby: %v, %v", err, waitOf(t, h))
	}
	for name, answers := range map[string][]string{"nobody takes over": {peer}, "no peer": nil} {
		h := holder(t, "", answers...)
		if _, err := draining(t, h, waitFor(time.Minute)); !errors.Is(err, reconcile.ErrNotTaken) || waitOf(t, h) != nil || trackedText(t, h) == wordOut {
			t.Errorf("%s: %v, %v", name, err, waitOf(t, h))
		}
	}
}

// TestDrainCannotWait: if connections cannot survive a move, nothing is changed.
func TestDrainCannotWait(t *testing.T) {
	const peer, vip = "198.51.100.12", "198.51.100.10"
	flushed := holder(t, "", peer, vip)
	flushed.FlushHandover()
	for name, h := range map[string]*fake.Host{"vrrp.handover: none": holder(t, "vrrp: {handover: none}\n", peer, vip), "not loaded": flushed} {
		h.Log = nil
		_, err := draining(t, h, waitFor(time.Minute))
		if !errors.Is(err, host.ErrUnavailable) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "drain without --wait") || len(h.Log) > 0 {
			t.Errorf("%s: %v\n%v", name, err, h.Log)
		}
	}
	// the agent of the peer cannot forward for longer
	h := holder(t, "", peer, vip)
	old := peers.Table{Peers: []peers.Peer{{Report: peers.Report{Node: "lb2"}, Heard: time.Now()}}}.Mark(time.Now())
	result, err := func() (reconcile.Result, error) {
		if err := state.WriteDerived(t.Context(), h, state.PeersFile, old); err != nil {
			t.Fatal(err)
		}
		r := &reconcile.Reconciler{Host: h, Log: slog.New(slog.DiscardHandler)}
		doc, err := state.LastGood(t.Context(), h)
		if err != nil {
			t.Fatal(err)
		}
		return r.Drain(t.Context(), doc, false, time.Minute)
	}()
	if err != nil || waitOf(t, h) != nil || trackedText(t, h) != wordOut {
		t.Errorf("an old peer: %v, %v, %v", result, err, waitOf(t, h))
	}
}
