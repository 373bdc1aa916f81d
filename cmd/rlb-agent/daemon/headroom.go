package daemon

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"rlb.dev/rlb-agent/reconcile/headroom"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/wake"
	"rlb.dev/rlb-agent/render/vrrp"
)

// AdvertLink is the link on which the advertisements of the virtual routers are heard.
type AdvertLink interface {
	// HearAdverts begins to hear the advertisements of other machines under an identity, on an interface.
	HearAdverts(iface string, id vrrp.Identity) (host.AdvertEar, error)
}

type headroomHost interface {
	host.Host
	AdvertLink
}

const (
	hearEvery    = 500 * time.Millisecond // what the kernel has kept meanwhile is taken in; it knows when each came
	hearAgain    = time.Second            // until an ear that failed is opened again
	headroomRest = 5 * time.Second        // between two writings of the record at least
)

// headroomWatch measures how late advertisements and its own timers are, and leaves that in a file. What this host sends
// itself it does not hear: to see that, a packet socket costs a copy of every packet that the host sends. There its own
// lateness tells whether it gets its core; the other host measures what arrives.
type headroomWatch struct {
	host headroomHost
	log  *slog.Logger

	mutex sync.Mutex // of what the other goroutines tell
	force state.InForce
	bell  chan struct{} // it changed

	now      state.InForce // that is measured
	meter    *headroom.Meter
	ears     []host.AdvertEar
	opened   time.Time // the ears, or the last try to
	unopened bool      // it was logged that they cannot be opened
	written  headroom.Record
}

func newHeadroomWatch(h headroomHost, log *slog.Logger) *headroomWatch {
	return &headroomWatch{host: h, log: log, bell: make(chan struct{}, 1)}
}

// applySpec tells which spec is in force. It never waits.
func (w *headroomWatch) applySpec(force state.InForce) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.force = force
	wake.Up(w.bell)
}

// run measures until ctx ends. Then it takes the file away: nobody keeps it.
func (w *headroomWatch) run(ctx context.Context) {
	defer w.end()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var due time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.bell:
			w.takeSpec(time.Now())
		case <-timer.C:
			now := time.Now()
			w.meter.Late(now.Sub(due), now)
			w.hear(now)
			w.write(ctx, now)
		}
		if w.meter == nil {
			continue // no spec is in force yet
		}
		due = time.Now().Add(hearEvery)
		timer.Reset(hearEvery)
	}
}

// takeSpec begins anew where the virtual router is another one.
func (w *headroomWatch) takeSpec(now time.Time) {
	w.mutex.Lock()
	force := w.force
	w.mutex.Unlock()
	same := force.Router == w.now.Router && force.Interface == w.now.Interface && slices.Equal(force.Identities, w.now.Identities)
	if same || force.Interface == "" {
		return
	}
	w.now = force
	w.meter = headroom.New(force.Router, now)
	w.close()
	w.opened = time.Time{}
}

// hear takes in what has come since the last time.
func (w *headroomWatch) hear(now time.Time) {
	if w.ears == nil && now.Sub(w.opened) >= hearAgain {
		w.open(now)
	}
	for _, ear := range w.ears {
		beats, lost, err := ear.Take()
		if err != nil { // the interface is down, and with it who advertises
			w.log.Debug(err.Error())
			w.close()
			return
		}
		if lost {
			w.meter.Forget()
			continue
		}
		for _, b := range beats {
			w.meter.Hear(b.From, b.Priority, b.At)
		}
	}
}

// open opens an ear for each identity.
func (w *headroomWatch) open(now time.Time) {
	w.opened = now
	for _, id := range w.now.Identities {
		ear, err := w.host.HearAdverts(w.now.Interface, id)
		if err != nil {
			if !w.unopened {
				w.log.Debug("cannot measure advertisements", "err", err)
			}
			w.unopened = true
			w.close()
			return
		}
		w.ears = append(w.ears, ear)
	}
	w.unopened = false
}

func (w *headroomWatch) close() {
	for _, ear := range w.ears {
		ear.Close()
	}
	w.ears = nil
	w.meter.Forget()
}

// write leaves the record where it is another one, and so often that others see that it is kept.
func (w *headroomWatch) write(ctx context.Context, now time.Time) {
	if now.Sub(w.written.Written) < headroomRest {
		return
	}
	r := w.meter.Record(now)
	was := w.written
	if was.Written = r.Written; was == r && now.Sub(w.written.Written) < headroom.Every {
		return
	}
	w.written = r
	if err := state.WriteDerived(ctx, w.host, state.HeadroomFile, r); err != nil && ctx.Err() == nil {
		w.log.Warn("cannot write how late advertisements are", "err", err)
	}
}

func (w *headroomWatch) end() {
	if w.meter == nil {
		return
	}
	w.close()
	if err := w.host.RemoveFile(context.Background(), state.HeadroomFile); err != nil {
		w.log.Warn(err.Error())
	}
}
