// Package cutoff ends the connections that HAProxy itself leaves to a server which should have none any more:
//
//   - to a server that has answered its health check with a wrong status for longer than healthCheck.cutAfter. HAProxy
//     only stops sending it new ones (HAProxy configuration manual §4.2, http-check expect, error-status L7OKC);
//   - to a server that fails, through the backend that a service falls back to while all of its servers fail
//     (services[].failOpen), once another server is up for so long that this one would be too. That backend has no checks
//     of its own;
//   - to a server that fails, in old workers, which finish their connections after a reload and check nothing any more. The
//     current worker cuts its own (on-marked-down shutdown-sessions).
//
// It also keeps that backend from servers that somebody has taken out of the first one through the runtime API.
package cutoff

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
)

// Host is what a Cutter needs of the machine.
type Host interface {
	host.HAProxyReader
	host.HAProxyWriter
}

// lookEvery is how late a connection is cut at most, besides host.SinceRounding, unless looks take long: they take at most
// a busyShare of the time.
const (
	lookEvery = 2 * time.Second
	busyShare = 20 // one in so many
)

// sameOutage is by how much HAProxy's whole seconds may move the beginning of one outage.
const sameOutage = 3 * time.Second

// Cutter cuts connections while it runs. Its zero value with Host and Log is ready.
type Cutter struct {
	Host Host
	Log  *slog.Logger
	Seen func([]host.ServerState) // told what each look found; may be nil

	mutex    sync.Mutex
	known    bool      // a spec is in force
	services []service // those with something to cut; none, and nobody to tell: HAProxy is not asked

	cut        map[place]time.Time // since when the server was as it is, at the last cut
	cutOld     map[place]time.Time // the same, of servers that fail and old workers
	lastLogged string              // why HAProxy could not be asked
}

// service is what the spec says of one.
type service struct {
	name     string
	cutAfter time.Duration // 0: HAProxy cuts by itself
	failOpen bool
	settles  time.Duration // from the first server that is up again on; by then the others that are well are up too
	cutsDown bool          // HAProxy cuts the connections to a server that fails
}

type place struct{ backend, server string }

// ApplySpec makes the spec in force known; nil is none. It may be called while Run runs.
func (c *Cutter) ApplySpec(spec *api.LoadBalancerSpec) {
	var services []service
	if spec != nil {
		for i := range spec.Services {
			of := &spec.Services[i]
			s := service{name: of.Name, cutAfter: of.HealthCheck.CutAfter.D(), failOpen: *of.FailOpen, cutsDown: render.CutsDown(spec, of)}
			s.settles = of.HealthCheck.Interval.D() + host.SinceRounding // each is checked once in that time
			if s.cutAfter > 0 || s.failOpen || s.cutsDown {
				services = append(services, s)
			}
		}
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.known, c.services = spec != nil, services
}

// Run looks every two seconds, until ctx ends.
func (c *Cutter) Run(ctx context.Context) {
	for pause := lookEvery; ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		began := time.Now()
		c.mutex.Lock()
		services, told := c.services, c.known && c.Seen != nil
		c.mutex.Unlock()
		if len(services) > 0 || told {
			c.look(ctx, services)
		}
		pause = max(lookEvery, busyShare*time.Since(began))
	}
}

func (c *Cutter) look(ctx context.Context, services []service) {
	states, err := c.Host.Servers(ctx)
	if err != nil { // HAProxy that is stopped or hangs is reported elsewhere
		return
	}
	if c.Seen != nil {
		c.Seen(states)
	}
	if len(services) == 0 && len(c.cut) == 0 && len(c.cutOld) == 0 {
		return
	}
	byBackend := map[string][]host.ServerState{}
	for _, s := range states {
		byBackend[s.Backend] = append(byBackend[s.Backend], s)
	}
	c.follow(ctx, services, byBackend)
	now, due, old := time.Now(), map[place]time.Time{}, map[place]time.Time{}
	for _, s := range services {
		s.due(byBackend[s.name], now, due)
		s.dueOld(byBackend[s.name], old)
	}
	forget(c.cut, due)
	forget(c.cutOld, old)
	for p, since := range due {
		if !fresh(c.cut, p, since) {
			continue
		}
		if err := c.Host.CutSessions(ctx, p.backend, p.server); err != nil {
			c.logOnce(err.Error())
			continue
		}
		c.lastLogged = ""
		service, failOpen := strings.CutSuffix(p.backend, render.FailOpenBackend(""))
		level := slog.LevelInfo
		if failOpen { // most often nobody failed open, so there was none
			level = slog.LevelDebug
		}
		c.Log.Log(ctx, level, "cut the connections to server "+p.server+" of service "+service, "reason", "it has failed its health check since "+since.Format(time.TimeOnly))
		if c.cut == nil {
			c.cut = map[place]time.Time{}
		}
		c.cut[p] = since
	}
	c.cutInOldWorkers(ctx, old)
}

// cutInOldWorkers cuts what old workers have with servers that fail, all of them by one look at these workers.
func (c *Cutter) cutInOldWorkers(ctx context.Context, due map[place]time.Time) {
	var names []string
	for p, since := range due {
		if fresh(c.cutOld, p, since) {
			names = append(names, p.backend+"/"+p.server)
		}
	}
	if len(names) == 0 {
		return
	}
	slices.Sort(names)
	cut, err := c.Host.CutOldSessions(ctx, names)
	if err != nil {
		c.logOnce(err.Error())
		return
	}
	c.lastLogged, c.cutOld = "", due
	if cut > 0 {
		c.Log.Info(fmt.Sprintf("cut %d connections of old processes of haproxy to servers that fail", cut), "servers", strings.Join(names, ", "))
	}
}

// forget forgets the cuts of servers that are well again.
func forget(cut, due map[place]time.Time) {
	maps.DeleteFunc(cut, func(p place, _ time.Time) bool { _, still := due[p]; return !still })
}

// fresh says that a server fails anew since the last cut.
func fresh(cut map[place]time.Time, p place, since time.Time) bool {
	at, done := cut[p]
	return !done || at.Sub(since).Abs() > sameOutage
}

// due adds the servers whose connections are to be cut now, with the time since when they are as they are.
func (s service) due(states []host.ServerState, now time.Time, due map[place]time.Time) {
	up := false
	for _, state := range states {
		up = up || state.Up() && now.Sub(state.Since) >= s.settles
	}
	for _, state := range states {
		wrong := strings.HasPrefix(state.State, "NOLB")
		if wrong && (s.cutAfter == 0 || now.Sub(state.Since) < s.cutAfter+host.SinceRounding) || !wrong && !strings.HasPrefix(state.State, "DOWN") {
			continue
		}
		if wrong {
			due[place{s.name, state.Name}] = state.Since
		}
		if s.failOpen && up {
			due[place{render.FailOpenBackend(s.name), state.Name}] = state.Since
		}
	}
}

// dueOld adds the servers with which old workers are to have no connections any more.
func (s service) dueOld(states []host.ServerState, due map[place]time.Time) {
	for _, state := range states {
		if s.cutsDown && strings.HasPrefix(state.State, "DOWN") {
			due[place{s.name, state.Name}] = state.Since
		}
	}
}

func (c *Cutter) logOnce(text string) {
	if text != c.lastLogged {
		c.Log.Warn(text)
		c.lastLogged = text
	}
}
