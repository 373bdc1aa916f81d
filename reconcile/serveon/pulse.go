package serveon

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"rlb.dev/rlb-agent/render"
)

// pulse sends the heartbeats. It runs in its own goroutine, so that no slow operation delays a heartbeat.
type pulse struct {
	host    Host
	log     *slog.Logger
	iface   string
	router  int // the virtual router id
	targets []target

	mutex      sync.Mutex
	until      time.Time // when the new holder stops forwarding, unless a heartbeat arrives before
	moved      bool      // a new holder exists: a heartbeat after until would have no effect and is not sent
	lastLogged string
}

// run sends a heartbeat every render.HeartbeatEvery until ctx ends, but only if HAProxy answers.
func (p *pulse) run(ctx context.Context) {
	tick := time.NewTicker(render.HeartbeatEvery)
	defer tick.Stop()
	for {
		if p.host.HAProxyServes(ctx) && ctx.Err() == nil {
			p.send(render.Heartbeat(p.router), render.HeartbeatLife)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// rest asks the new holder to forward for render.ForwardTime without heartbeats, because a restart of the agent takes
// longer than render.HeartbeatLife.
func (p *pulse) rest() { p.send(render.HeartbeatRest(p.router), render.ForwardTime) }

// send sends one heartbeat in each family. The new holder forwards for life after the heartbeat.
func (p *pulse) send(heartbeat uint64, life time.Duration) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	now, sent := time.Now(), false
	if p.moved && now.After(p.until) {
		return
	}
	for _, t := range p.targets {
		err := p.host.SendHeartbeat(p.iface, t.from, t.to, heartbeat)
		if sent = sent || err == nil; err != nil && err.Error() != p.lastLogged {
			p.lastLogged = err.Error()
			p.log.Warn(err.Error())
		}
	}
	if sent {
		p.until = now.Add(life)
	}
}

// begin records that a new holder exists and forwards until the given time.
func (p *pulse) begin(until time.Time) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.moved, p.until = true, until
}

// end returns when the new holder stops forwarding, unless a heartbeat arrives before.
func (p *pulse) end() time.Time {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.until
}
