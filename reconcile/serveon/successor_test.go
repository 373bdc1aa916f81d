package serveon

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/render"
)

// beat is a heartbeat and the MAC of its sender.
type beat struct {
	from  string
	value uint64
}

// newHolder is the host that forwards to a former holder.
type newHolder struct {
	*fake.Host
	beats     chan beat
	forwarded []host.Flow
	mutex     sync.Mutex
	asked     []host.Flow
	unheard   error // why it cannot hear heartbeats
	refused   error // why it cannot send challenges
}

func (h *newHolder) HearHeartbeats(ctx context.Context, iface string, heard func(string, uint64)) error {
	if h.unheard != nil {
		return h.unheard
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case beat := <-h.beats:
			heard(beat.from, beat.value)
		}
	}
}

func (h *newHolder) Forwarded(context.Context) ([]host.Flow, error) {
	return slices.Clone(h.forwarded), nil
}

func (h *newHolder) Challenge(_ context.Context, flows []host.Flow) (int, error) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if h.refused != nil {
		return 0, h.refused
	}
	h.asked = append(h.asked, flows...)
	return len(flows), nil
}

// challenged returns the connections whose clients were challenged.
func (h *newHolder) challenged() []host.Flow {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return slices.Clone(h.asked)
}

func parsed(t *testing.T, text string) *api.Document {
	t.Helper()
	doc, err := api.Parse("spec.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func flow(client string) host.Flow {
	return host.Flow{Client: netip.MustParseAddrPort(client), Server: netip.AddrPortFrom(vip.Addr(), 9000)}
}

// TestSuccessor: the clients of a former holder are challenged when its heartbeats end, unless the former holder has ended
// the wait itself, or this host has lost the virtual IP.
func TestSuccessor(t *testing.T) {
	const router = 10
	live, rest := beat{"lb1", render.Heartbeat(router)}, beat{"lb1", render.HeartbeatRest(router)}
	ours := []host.Flow{flow("198.51.100.50:40000"), flow("198.51.100.51:40001")}
	beating := func(h *newHolder, s *Successor, n int) {
		for range n {
			time.Sleep(render.HeartbeatEvery)
			s.PeerServesOn("lb1", true)
			h.beats <- live
		}
	}
	for name, c := range map[string]struct {
		more string
		do   func(h *newHolder, s *Successor)
		in   time.Duration // from the end of do until the clients are told; 0: never
	}{
		"the heartbeats end":            {do: func(h *newHolder, s *Successor) { beating(h, s, 80) }, in: render.HeartbeatLife + beatMargin},
		"the agent is stopped for good": {do: func(h *newHolder, s *Successor) { beating(h, s, 3); h.beats <- rest }, in: render.ForwardTime + beatMargin},
		"the agent is restarted": {do: func(h *newHolder, s *Successor) {
			beating(h, s, 3)
			h.beats <- rest
			time.Sleep(time.Second)
			beating(h, s, 3)
		}, in: render.HeartbeatLife + beatMargin},
		"the former holder ended the wait": {do: func(h *newHolder, s *Successor) { beating(h, s, 3); s.PeerServesOn("lb1", false) }},
		"another host never waited":        {do: func(h *newHolder, s *Successor) { beating(h, s, 3); s.PeerServesOn("lb3", false) }, in: render.HeartbeatLife + beatMargin},
		"heartbeats of a machine that never said it": {do: func(h *newHolder, s *Successor) {
			beating(h, s, 3)
			for range 3 {
				time.Sleep(render.HeartbeatEvery)
				h.beats <- beat{"stranger", live.value}
			}
		}, in: render.HeartbeatLife + beatMargin - 3*render.HeartbeatEvery},
		"one of two ends the wait, the other dies": {do: func(h *newHolder, s *Successor) {
			s.PeerServesOn("lb3", true)
			beating(h, s, 3)
			s.PeerServesOn("lb3", false)
		}, in: render.HeartbeatLife + beatMargin},
		"no heartbeat ever came": {do: func(h *newHolder, s *Successor) { s.PeerServesOn("lb1", true) }},
		"heartbeats of another router": {do: func(h *newHolder, s *Successor) {
			s.PeerServesOn("lb1", true)
			h.beats <- beat{"lb1", render.Heartbeat(11)}
		}},
		"the virtual IP went back": {do: func(h *newHolder, s *Successor) {
			beating(h, s, 3)
			synctest.Wait()
			h.Net[1].Prefixes = slices.DeleteFunc(h.Net[1].Prefixes, func(p netip.Prefix) bool { return p.Addr() == vip.Addr() })
			h.beats <- live
		}},
		"it cannot hear": {do: func(h *newHolder, s *Successor) { h.unheard = errors.New("cannot hear"); s.PeerServesOn("lb1", true) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &newHolder{Host: fake.New(), beats: make(chan beat), forwarded: ours}
				h.Net[1].Prefixes = append(h.Net[1].Prefixes, vip)
				if _, err := (&reconcile.Reconciler{Host: h.Host, Log: slog.New(slog.DiscardHandler)}).Once(t.Context(), parsed(t, spec)); err != nil {
					t.Fatal(err)
				}
				var log bytes.Buffer
				s := NewSuccessor(h, slog.New(slog.NewTextHandler(&log, nil)))
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() { defer close(done); s.Run(ctx) }()
				c.do(h, s)
				synctest.Wait()
				time.Sleep(c.in - time.Millisecond)
				if synctest.Wait(); len(h.challenged()) > 0 {
					t.Errorf("clients are told too early: %v", h.challenged())
				}
				time.Sleep(2 * time.Millisecond)
				synctest.Wait()
				if asked := slices.Equal(h.challenged(), ours); asked != (c.in > 0) {
					t.Errorf("asked %v", h.challenged())
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if want := len(ours); len(h.challenged()) > want || c.in == 0 && len(h.challenged()) > 0 {
					t.Errorf("asked %v", h.challenged())
				}
				if said := strings.Contains(log.String(), "told the clients of 2 connections"); said != (c.in > 0) {
					t.Errorf("log: %s", log.String())
				}
				stop()
				<-done
			})
		})
	}
}

// TestSuccessorCannotTell: a host that cannot send challenges logs this once, with the number of clients that were not told.
func TestSuccessorCannotTell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &newHolder{Host: fake.New(), refused: errors.New("cannot ask: not permitted"), forwarded: []host.Flow{flow("198.51.100.50:40000"), flow("198.51.100.51:40001")}}
		h.Net[1].Prefixes = append(h.Net[1].Prefixes, vip)
		var log bytes.Buffer
		NewSuccessor(h, slog.New(slog.NewTextHandler(&log, nil))).tell(t.Context())
		if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "cannot tell the clients of 2 of 2 connections that these have ended: cannot ask: not permitted") {
			t.Errorf("log: %s", text)
		}
	})
}

// TestSuccessorWithoutHandover: with vrrp.handover: none nothing is forwarded, so the Successor does not listen.
func TestSuccessorWithoutHandover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &newHolder{Host: fake.New(), unheard: errors.New("nobody must listen")}
		if _, err := (&reconcile.Reconciler{Host: h.Host, Log: slog.New(slog.DiscardHandler)}).Once(t.Context(), parsed(t, spec+"vrrp: {handover: none}\n")); err != nil {
			t.Fatal(err)
		}
		s := NewSuccessor(h, slog.New(slog.DiscardHandler))
		if err := s.follow(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
