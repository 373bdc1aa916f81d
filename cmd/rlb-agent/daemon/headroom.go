package daemon

import (
	"context"
	"log/slog"
	"slices"
	"sort"
	"sync"
	"time"

	"rlb.dev/rlb-agent/reconcile/headroom"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/wake"
	"rlb.dev/rlb-agent/render/vrrp"
)

// AdvertLink receives the advertisements of virtual routers.
type AdvertLink interface {
	// HearAdverts opens a receiver for the advertisements of other machines with this identity on an interface.
	HearAdverts(iface string, id vrrp.Identity) (host.AdvertEar, error)
}

type headroomHost interface {
	host.Host
	AdvertLink
}

const (
	hearEvery    = 500 * time.Millisecond // interval between two reads of the sockets; the kernel keeps the packets and their times of arrival
	hearAgain    = time.Second            // pause before a failed receiver is opened again
	headroomRest = 5 * time.Second        // shortest time between two writes of the record
)

// headroomWatch measures how late advertisements and its own timers are, and writes the result to a file. It does not
// receive this host's own advertisements: a packet socket for them would cost a copy of every packet that the host
// sends. On the MASTER the lateness of its timers shows whether the process gets CPU time; the other host measures the
// advertisements that arrive.
type headroomWatch struct {
	host headroomHost
	log  *slog.Logger

	mutex sync.Mutex // guards force and moves
	force state.InForce
	moves []event       // moves of the virtual IPs since the last read
	bell  chan struct{} // rings when force has changed

	now      state.InForce // what is being measured
	meter    *headroom.Meter
	ears     []host.AdvertEar
	opened   time.Time // when the receivers were opened, or the last attempt
	unopened bool      // the failure to open them is logged
	written  headroom.Record
}

// event is something that the meter must learn in the order of time.
type event struct {
	at     time.Time
	record func(m *headroom.Meter, at time.Time)
}

func newHeadroomWatch(h headroomHost, log *slog.Logger) *headroomWatch {
	return &headroomWatch{host: h, log: log, bell: make(chan struct{}, 1)}
}

// applySpec sets the spec in force. It never waits.
func (w *headroomWatch) applySpec(force state.InForce) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.force = force
	wake.Up(w.bell)
}

// tookOver records that this host has just got the virtual IPs. It never waits.
func (w *headroomWatch) tookOver() { w.moved((*headroom.Meter).TookOver) }

// yielded records that a peer, which was MASTER since the given time, reports that it is BACKUP. It never waits.
func (w *headroomWatch) yielded(since time.Time) {
	w.moved(func(m *headroom.Meter, at time.Time) { m.Yielded(since, at) })
}

func (w *headroomWatch) moved(record func(*headroom.Meter, time.Time)) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.force.Interface != "" { // without a spec hear does not run
		w.moves = append(w.moves, event{time.Now(), record})
	}
}

// run measures until ctx ends. Then it removes the file, which would become outdated.
func (w *headroomWatch) run(ctx context.Context) {
	defer w.end()
	timer := time.NewTimer(hearEvery)
	timer.Stop() // until there is a spec in force
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
			continue // no spec in force so far
		}
		due = time.Now().Add(hearEvery)
		timer.Reset(hearEvery)
	}
}

// takeSpec starts a new measurement if the virtual router has changed.
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

// hear reads what has arrived since the last call.
func (w *headroomWatch) hear(now time.Time) {
	w.mutex.Lock()
	all := w.moves
	w.moves = nil
	w.mutex.Unlock()
	if w.ears == nil && now.Sub(w.opened) >= hearAgain {
		w.open(now)
	}
	for _, ear := range w.ears {
		beats, lost, err := ear.Take()
		if err != nil { // the interface is down: no advertisements arrive
			w.log.Debug(err.Error())
			w.close()
			return
		}
		if lost {
			w.meter.Forget()
			continue
		}
		for _, b := range beats {
			all = append(all, event{b.At, func(m *headroom.Meter, at time.Time) { m.Hear(b.From, b.Priority, at) }})
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].at.Before(all[j].at) })
	for _, e := range all {
		e.record(w.meter, e.at)
	}
}

// open opens a receiver for each identity.
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

// write writes the record if it has changed, and at least every headroom.Every: readers see that it is up to date.
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
