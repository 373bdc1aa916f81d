package serveon

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/wake"
	"rlb.dev/rlb-agent/render"
)

const (
	firstBeat    = 5 * time.Second       // in which the first heartbeat comes of a host that says that it serves on
	beatMargin   = 20 * time.Millisecond // after which the kernel forwards no more for certain
	atOnce       = 100                   // clients that are asked without a pause …
	betweenSwarm = time.Millisecond      // … and the pause
)

// SuccessorHost is what a Successor needs of the machine.
type SuccessorHost interface {
	host.Host
	// HearHeartbeats calls heard for each heartbeat that comes on an interface, until ctx ends.
	HearHeartbeats(ctx context.Context, iface string, heard func(heartbeat uint64)) error
	// Forwarded are the connections of which this host has forwarded packets within the last minute.
	Forwarded(ctx context.Context) ([]host.Flow, error)
	// Challenge has the client of a connection that this host does not have ask for it here, and be told (RST).
	Challenge(flow host.Flow) error
}

// Successor is the other end of a wait, on the host that has the virtual IPs now. Where the former holder dies, nobody
// closes the connections that it had. A client that waits for an answer would not be told before it sends its packet
// again, 0.6 s later or more, and a quiet one never. So the Successor has them ask. Make it with NewSuccessor.
type Successor struct {
	host SuccessorHost
	log  *slog.Logger
	bell chan struct{}

	mutex  sync.Mutex
	former string // the machine that serves on, or ""
}

// NewSuccessor is one that does nothing until it runs.
func NewSuccessor(h SuccessorHost, log *slog.Logger) *Successor {
	return &Successor{host: h, log: log, bell: make(chan struct{}, 1)}
}

// PeerServesOn says whether a machine of the link says that it goes on serving what it has. It never waits. One that says
// no more that it does has closed its connections itself.
func (s *Successor) PeerServesOn(machine string, on bool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	switch {
	case on:
		s.former = machine
		wake.Up(s.bell)
	case s.former == machine:
		s.former = ""
	}
}

// servedOn says whether the former holder still serves on, as far as it has said.
func (s *Successor) servedOn() bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.former != ""
}

// Run follows one former holder after the other until ctx ends.
func (s *Successor) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.bell:
		}
		if err := s.follow(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("cannot tell clients of a former holder that dies: " + err.Error())
		}
	}
}

// follow hears the heartbeats of a former holder until they end, and tells the clients then.
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
	deaf := make(chan error, 1)
	go func() {
		deaf <- s.host.HearHeartbeats(hearing, iface, func(heartbeat uint64) {
			life, known := map[uint64]time.Duration{render.Heartbeat(router): render.HeartbeatLife, render.HeartbeatRest(router): render.ForwardTime}[heartbeat]
			if !known {
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
		case err := <-deaf:
			return err
		case life := <-lives:
			beaten = true
			timer.Reset(life + beatMargin)
		case <-timer.C:
			if beaten && s.servedOn() {
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
	told := 0
	for _, flow := range flows {
		if !held[flow.Server.Addr()] {
			continue // the virtual IP has left this host meanwhile: the connection may go on
		}
		if err := s.host.Challenge(flow); err != nil {
			s.log.Debug(err.Error())
			continue
		}
		if told++; told%atOnce == 0 {
			time.Sleep(betweenSwarm)
		}
	}
	if told > 0 {
		s.log.Info(fmt.Sprintf("the former holder of the virtual IPs does not serve on any more: told the clients of %s", connections(told)))
	}
}
