package serveon

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"rlb.dev/rlb-agent/render"
)

// pulse sends the heartbeats. It is a goroutine of its own: nothing else that takes long may delay one.
type pulse struct {
	host    Host
	log     *slog.Logger
	iface   string
	router  int // its id
	targets []target

	mutex      sync.Mutex
	until      time.Time // when the new holder stops to forward, unless a heartbeat comes before
	moved      bool      // there is a new holder: a heartbeat that comes later than that has no effect, and is not sent
	lastLogged string
}

// run sends until ctx ends, each time after HAProxy has answered.
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

// rest asks the new holder to forward for a while without heartbeats: an agent that is restarted takes longer than
// render.HeartbeatLife.
func (p *pulse) rest() { p.send(render.HeartbeatRest(p.router), render.ForwardTime) }

// send sends one in each family, which has an effect for so long.
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

// begin says that there is a new holder, which forwards until then.
func (p *pulse) begin(until time.Time) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.moved, p.until = true, until
}

// end is when the new holder stops to forward, unless a heartbeat comes before.
func (p *pulse) end() time.Time {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.until
}
