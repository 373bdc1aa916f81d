package serveon

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/wake"
	"rlb.dev/rlb-agent/render"
)

const (
	firstBeat  = 5 * time.Second       // how long to wait for the first heartbeat of a host that says that it serves on
	beatMargin = 20 * time.Millisecond // added to the life of a heartbeat; after it the kernel has surely stopped forwarding
)

// SuccessorHost is the part of the machine that a Successor uses.
type SuccessorHost interface {
	host.Host
	// HearHeartbeats calls heard for each heartbeat that arrives on an interface, with its source MAC, until ctx ends.
	HearHeartbeats(ctx context.Context, iface string, heard func(mac string, heartbeat uint64)) error
	// Forwarded returns the connections whose packets this host has forwarded within the last minute.
	Forwarded(ctx context.Context) ([]host.Flow, error)
	// Challenge makes the client of each connection send a packet to this host. This host does not have the connections, so
	// its kernel answers with a RST. n is the number of clients challenged, err says why others were not.
	Challenge(ctx context.Context, flows []host.Flow) (n int, err error)
}

// Successor is the other end of a wait, on the host that has the virtual IPs now. If the former holder dies, nobody closes
// its connections. A client that waits for an answer would learn of the end only when it sends its packet again, 0.6 s later
// or more. An idle client would never learn of it. So the Successor challenges the clients. Make it with NewSuccessor.
type Successor struct {
	host SuccessorHost
	log  *slog.Logger
	bell chan struct{}

	mutex  sync.Mutex
	former map[string]bool // the MACs of the peers that serve on
}

// NewSuccessor returns a Successor that does nothing until Run is called.
func NewSuccessor(h SuccessorHost, log *slog.Logger) *Successor {
	return &Successor{host: h, log: log, bell: make(chan struct{}, 1), former: map[string]bool{}}
}

// PeerServesOn records whether the peer with this MAC reports that it goes on serving its connections. A peer that stops
// reporting this has closed its connections itself. PeerServesOn never blocks.
func (s *Successor) PeerServesOn(mac string, on bool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if !on {
		delete(s.former, mac)
		return
	}
	s.former[mac] = true
	wake.Up(s.bell)
}

// servesOn says whether the peer with this MAC has reported that it serves on.
func (s *Successor) servesOn(mac string) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.former[mac]
}

// forget clears the list of peers that serve on, and says whether there were any. A peer that serves on reports it again.
func (s *Successor) forget() (any bool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	any = len(s.former) > 0
	clear(s.former)
	return any
}

// Run follows former holders until ctx ends.
func (s *Successor) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.bell:
		}
		if err := s.follow(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("cannot tell clients that a former holder has failed: " + err.Error())
		}
	}
}

// follow listens to the heartbeats of the peers that serve on until these end. Then it challenges the clients. The kernel
// forwards for as long as heartbeats of any peer arrive.
func (s *Successor) follow(ctx context.Context) error {
	in, err := state.ReadInForce(ctx, s.host)
	if err != nil || in == nil || len(render.HandedOver(in.Spec, in.Interface)) == 0 {
		return err
	}
	router, iface := *in.Spec.VRRP.RouterID, in.Interface
	in = nil // frees the memory of a large spec
	hearing, stop := context.WithCancel(ctx)
	defer stop()
	lives := make(chan time.Duration)
	ended := make(chan error, 1)
	go func() {
		ended <- s.host.HearHeartbeats(hearing, iface, func(mac string, heartbeat uint64) {
			life, known := map[uint64]time.Duration{render.Heartbeat(router): render.HeartbeatLife, render.HeartbeatRest(router): render.ForwardTime}[heartbeat]
			if !known || !s.servesOn(mac) { // any host on the link can send a heartbeat
				return
			}
			select {
			case lives <- life:
			case <-hearing.Done():
			}
		})
	}()
	timer := time.NewTimer(firstBeat)
	defer timer.Stop()
	for beaten := false; ; {
		select {
		case err := <-ended:
			return err
		case life := <-lives:
			beaten = true
			timer.Reset(life + beatMargin)
		case <-timer.C:
			if s.forget() && beaten {
				s.tell(ctx)
			}
			return nil
		}
	}
}

// tell challenges the clients whose connections were forwarded to the former holder.
func (s *Successor) tell(ctx context.Context) {
	flows, err := s.host.Forwarded(ctx)
	if err != nil {
		s.log.Warn(err.Error())
		return
	}
	held, err := host.OwnAddresses(ctx, s.host)
	if err != nil {
		s.log.Warn(err.Error())
		return
	}
	flows = slices.DeleteFunc(flows, func(flow host.Flow) bool {
		return !held[flow.Server.Addr()] // the virtual IP has left this host meanwhile: the connection may go on
	})
	challenged, err := s.host.Challenge(ctx, flows)
	if err != nil {
		s.log.Warn(fmt.Sprintf("cannot tell the clients of %d of %s that these have ended: %v", len(flows)-challenged, connections(len(flows)), err))
	}
	if challenged > 0 {
		s.log.Info(fmt.Sprintf("the former holder of the virtual IPs no longer serves its connections: told the clients of %s", connections(challenged)))
	}
}
