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
	firstBeat  = 5 * time.Second       // in which the first heartbeat comes of a host that says that it serves on
	beatMargin = 20 * time.Millisecond // after which the kernel forwards no more for certain
)

// SuccessorHost is what a Successor needs of the machine.
type SuccessorHost interface {
	host.Host
	// HearHeartbeats calls heard for each heartbeat that comes on an interface, with the MAC that it came from, until ctx ends.
	HearHeartbeats(ctx context.Context, iface string, heard func(mac string, heartbeat uint64)) error
	// Forwarded are the connections of which this host has forwarded packets within the last minute.
	Forwarded(ctx context.Context) ([]host.Flow, error)
	// Challenge has the clients of connections that this host does not have ask for them here, and be told (RST). n is how
	// many were sent a challenge, err why others were not.
	Challenge(ctx context.Context, flows []host.Flow) (n int, err error)
}

// Successor is the other end of a wait, on the host that has the virtual IPs now. Where the former holder dies, nobody
// closes the connections that it had. A client that waits for an answer would not be told before it sends its packet
// again, 0.6 s later or more, and a quiet one never. So the Successor has them ask. Make it with NewSuccessor.
type Successor struct {
	host SuccessorHost
	log  *slog.Logger
	bell chan struct{}

	mutex  sync.Mutex
	former map[string]bool // the MACs of the peers that serve on
}

// NewSuccessor is one that does nothing until it runs.
func NewSuccessor(h SuccessorHost, log *slog.Logger) *Successor {
	return &Successor{host: h, log: log, bell: make(chan struct{}, 1), former: map[string]bool{}}
}

// PeerServesOn says whether a peer, by its MAC, says that it goes on serving what it has. It never waits. One that says no
// more that it does has closed its connections itself.
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

// servesOn says whether a peer serves on, as far as it has said.
func (s *Successor) servesOn(mac string) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.former[mac]
}

// forget forgets which peers serve on, and says whether there were any. One that does will say so again.
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

// follow hears the heartbeats of the peers that serve on until they end, and tells the clients then. The kernel forwards for
// as long as any of them comes.
func (s *Successor) follow(ctx context.Context) error {
	in, err := state.ReadInForce(ctx, s.host)
	if err != nil || in == nil || len(render.HandedOver(in.Spec, in.Interface)) == 0 {
		return err
	}
	router, iface := *in.Spec.VRRP.RouterID, in.Interface
	in = nil // a large spec is not kept in memory
	hearing, stop := context.WithCancel(ctx)
	defer stop()
	lives := make(chan time.Duration)
	ended := make(chan error, 1)
	go func() {
		ended <- s.host.HearHeartbeats(hearing, iface, func(mac string, heartbeat uint64) {
			life, known := map[uint64]time.Duration{render.Heartbeat(router): render.HeartbeatLife, render.HeartbeatRest(router): render.ForwardTime}[heartbeat]
			if !known || !s.servesOn(mac) { // anybody on the link can send one
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

// tell has the clients ask whose connections were forwarded to the former holder.
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
	told, err := s.host.Challenge(ctx, flows)
	if err != nil {
		s.log.Warn(fmt.Sprintf("cannot tell the clients of %d of %s that these have ended: %v", len(flows)-told, connections(len(flows)), err))
	}
	if told > 0 {
		s.log.Info(fmt.Sprintf("the former holder of the virtual IPs no longer serves its connections: told the clients of %s", connections(told)))
	}
}
