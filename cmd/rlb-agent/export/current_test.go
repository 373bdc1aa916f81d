package export

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/status"
)

// slowHAProxy is a host whose HAProxy answers when the test allows it.
type slowHAProxy struct {
	host.Observer
	asked, answer chan struct{}
}

func (h slowHAProxy) Servers(ctx context.Context) ([]host.ServerState, error) {
	h.asked <- struct{}{}
	<-h.answer
	return h.Observer.Servers(ctx)
}

// asking returns a host whose HAProxy one reader is asking.
func asking(ctx context.Context, t *testing.T) (s *shown, h slowHAProxy, reader chan status.Status) {
	s = newShown(t)
	s.run("")
	h = slowHAProxy{s.Host, make(chan struct{}, 10), make(chan struct{})}
	s.Status = statusFile{s.host, h}
	s.age()
	reader = make(chan status.Status, 1)
	go func() { reader <- s.now(ctx) }()
	<-h.asked
	return s, h, reader
}

// TestSlowHAProxy: a slow HAProxy delays only the readers that need its answer.
func TestSlowHAProxy(t *testing.T) {
	s, h, reader := asking(t.Context(), t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.follow(t.Context())
		status, _, _ := s.current.get()
		s.RunEnded(status, reconcile.Result{})
	}()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("the loop and the daemon's run wait for HAProxy")
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	s.age()
	if status := s.now(gone); status.Kind == "" {
		t.Error("a reader that goes gets nothing")
	}
	close(h.answer)
	<-reader
}

// TestOlderStatusDoesNotReplaceANewerOne: the status of a run that ended while HAProxy was asked is newer than
// HAProxy's answer.
func TestOlderStatusDoesNotReplaceANewerOne(t *testing.T) {
	s, h, reader := asking(t.Context(), t)
	newer, _, _ := s.current.get()
	newer.RoleReason = "a run found this"
	s.RunEnded(newer, reconcile.Result{})
	close(h.answer)
	if got := <-reader; got.RoleReason != newer.RoleReason {
		t.Errorf("shown: %q", got.RoleReason)
	}
}

// TestReadersShareAnAnswer: concurrent readers cause one query. Its answer is complete even if the reader that
// asked has disconnected.
func TestReadersShareAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, leave := context.WithCancel(t.Context())
		s, h, reader := asking(ctx, t)
		others := make(chan status.Status, 5)
		for range cap(others) {
			go func() { others <- s.now(t.Context()) }()
		}
		synctest.Wait() // until all wait for the answer
		leave()
		close(h.answer)
		<-reader
		for range cap(others) {
			if got := <-others; len(got.Services) != 1 || len(got.Services[0].Servers) != 1 || !got.Services[0].Servers[0].Up() || len(got.NotSeen) > 0 {
				t.Errorf("shown: %+v", got)
			}
		}
		if len(h.asked) > 0 {
			t.Errorf("asked %d times more", len(h.asked))
		}
	})
}
