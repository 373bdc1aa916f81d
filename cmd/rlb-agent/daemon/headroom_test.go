package daemon

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rlb.dev/rlb-agent/reconcile/headroom"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render/vrrp"
)

// heardHost is a host that receives advertisements.
type heardHost struct {
	*fake.Host
	mu             sync.Mutex // guards the fields below and the fake host
	opened, closed int
	came           []host.Beat
	lost           bool
	down           error
}

func (h *heardHost) HearAdverts(string, vrrp.Identity) (host.AdvertEar, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.opened++
	return h, h.down
}

func (h *heardHost) Take() ([]host.Beat, bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	came, lost := h.came, h.lost
	h.came, h.lost = nil, false
	return came, lost, h.down
}

func (h *heardHost) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed++
}

// fake.Host is not safe for concurrent use.
func (h *heardHost) File(ctx context.Context, path string) (host.File, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.Host.File(ctx, path)
}

func (h *heardHost) WriteFile(ctx context.Context, path string, data []byte, mode fs.FileMode, uid, gid int) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.Host.WriteFile(ctx, path, data, mode, uid, gid)
}

func (h *heardHost) RemoveFile(ctx context.Context, path string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.Host.RemoveFile(ctx, path)
}

// set changes the state of the host.
func (h *heardHost) set(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
}

func (h *heardHost) beat(priority uint8) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.came = append(h.came, host.Beat{From: netip.MustParseAddr("198.51.100.12"), Priority: priority, At: time.Now()})
}

func TestHeadroom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const interval = 100 * time.Millisecond
		h := &heardHost{Host: fake.New()}
		w := newHeadroomWatch(h, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); w.run(ctx) }()
		beats := func(n int) {
			for range n {
				time.Sleep(interval)
				h.beat(254)
				synctest.Wait()
			}
		}
		record := func() headroom.Record {
			t.Helper()
			synctest.Wait()
			r, err := state.ReadHeadroom(t.Context(), h)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		time.Sleep(2 * time.Hour)
		if r := record(); r.Alive(time.Now()) || h.opened > 0 {
			t.Fatalf("without a spec: %+v", r)
		}
		force := state.InForce{
			Interface: "eth0", Identities: []vrrp.Identity{{RouterID: 100}},
			Router: headroom.Router{Version: 3, Interval: interval, Allowed: 301 * time.Millisecond},
		}
		w.applySpec(force)
		beats(100)
		if r := record(); r.WorstGap != headroom.Span(interval) || r.Interval != headroom.Span(interval) || !r.Alive(time.Now()) {
			t.Errorf("on time: %+v", r)
		}
		time.Sleep(140 * time.Millisecond)
		beats(100)
		if r := record(); r.WorstGap != headroom.Span(240*time.Millisecond) {
			t.Errorf("late once: %+v", r)
		}
		w.applySpec(force)
		h.set(func() { h.lost = true })
		time.Sleep(180 * time.Millisecond) // dropped by the kernel
		beats(100)
		h.set(func() { h.down = errors.New("the interface is down") })
		time.Sleep(hearEvery)
		h.set(func() { h.came, h.down = nil, nil })
		beats(100)
		if r := record(); r.WorstGap != headroom.Span(240*time.Millisecond) {
			t.Errorf("what is not known counts: %+v", r)
		}
		if h.opened != 2 || h.closed != 1 {
			t.Errorf("opened %d times, closed %d times, after the interface was down once", h.opened, h.closed)
		}
		time.Sleep(time.Hour) // no advertisements
		if r := record(); r.WorstGap != 0 || !r.Alive(time.Now()) {
			t.Errorf("after an hour: %+v", r)
		}
		beats(100)
		time.Sleep(301 * time.Millisecond)
		w.tookOver()
		time.Sleep(800 * time.Millisecond)
		w.yielded(time.Time{})
		time.Sleep(headroomRest)
		if r := record(); r.WorstGap != headroom.Span(force.Router.Allowed) {
			t.Errorf("after a false takeover: %+v", r)
		}
		force.Router.Interval = 50 * time.Millisecond
		w.applySpec(force)
		beats(100)
		if r := record(); r.Interval != headroom.Span(50*time.Millisecond) || r.WorstGap != headroom.Span(interval) {
			t.Errorf("after an edit: %+v", r)
		}
		cancel()
		<-done
		if r := record(); !r.Written.IsZero() {
			t.Errorf("the daemon has ended: %+v", r)
		}
		if h.opened != h.closed {
			t.Errorf("%d ears were opened, %d closed", h.opened, h.closed)
		}
	})
}
