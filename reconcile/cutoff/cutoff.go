// Package cutoff ends connections that HAProxy leaves open to a server that should have none any more:
//
//   - Connections to a server that has answered its health check with a wrong status for longer than healthCheck.cutAfter.
//     HAProxy only stops sending new connections to such a server (HAProxy configuration manual §4.2, http-check expect,
//     error-status L7OKC).
//   - Connections to a failed server through the fail-open backend. A service uses that backend while all of its servers
//     fail (services[].failOpen). The backend has no checks of its own. The connections are cut once another server has been
//     up for so long that the failed server would be up too if it had recovered.
//   - Connections to a failed server in old workers, which finish their connections after a reload and run no checks any
//     more. The current worker cuts its own connections (on-marked-down shutdown-sessions).
//
// The package also takes a server out of the fail-open backend if somebody has taken it out of the service's own backend
// through the runtime API.
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

// Host is the part of the machine that a Cutter uses.
type Host interface {
	host.HAProxyReader
	host.HAProxyWriter
}

// lookEvery is the time between two looks at HAProxy. A connection is cut at most lookEvery plus host.SinceRounding late.
// Slow looks are made less often, so that they use at most 1/busyShare of the time.
const (
	lookEvery = 2 * time.Second
	busyShare = 20
)

// sameOutage is the largest difference between two beginnings that HAProxy, which counts whole seconds, reports for one
// outage.
const sameOutage = 3 * time.Second

// Cutter cuts connections while Run runs. Host and Log are required.
type Cutter struct {
	Host Host
	Log  *slog.Logger
	Seen func([]host.ServerState) // called with the result of each look; may be nil

	mutex    sync.Mutex
	known    bool      // a spec is in force
	services []service // the services with something to cut; if there are none and Seen is nil, HAProxy is not queried

	cut        map[place]time.Time // the servers whose connections were cut, and the beginning of the outage then
	cutOld     map[place]time.Time // the same for cuts in old workers
	lastLogged string              // the last error logged
}

// service holds what the spec says about one service.
type service struct {
	name     string
	cutAfter time.Duration // 0: HAProxy cuts by itself
	failOpen bool
	settles  time.Duration // time from the first server that is up again until all healthy servers are up
	cutsDown bool          // HAProxy cuts the connections to a failed server
}

type place struct{ backend, server string }

// ApplySpec sets the spec in force; nil means none. It may be called while Run runs.
func (c *Cutter) ApplySpec(spec *api.LoadBalancerSpec) {
	var services []service
	if spec != nil {
		for i := range spec.Services {
			of := &spec.Services[i]
			s := service{name: of.Name, cutAfter: of.HealthCheck.CutAfter.D(), failOpen: *of.FailOpen, cutsDown: render.CutsDown(spec, of)}
			s.settles = of.HealthCheck.Interval.D() + host.SinceRounding // each server is checked once in that time
			if s.cutAfter > 0 || s.failOpen || s.cutsDown {
				services = append(services, s)
			}
		}
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.known, c.services = spec != nil, services
}

// Run looks at HAProxy every two seconds until ctx ends, or less often if looks are slow (busyShare).
func (c *Cutter) Run(ctx context.Context) {
	for pause := lookEvery; ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		began := time.Now()
		c.mutex.Lock()
		services, notify := c.services, c.known && c.Seen != nil
		c.mutex.Unlock()
		if len(services) > 0 || notify {
			c.look(ctx, services)
		}
		pause = max(lookEvery, busyShare*time.Since(began))
	}
}

func (c *Cutter) look(ctx context.Context, services []service) {
	states, err := c.Host.Servers(ctx)
	if err != nil { // the agent reports a stopped or hung HAProxy elsewhere
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
		if failOpen { // the fail-open backend is seldom in use, so that there is most often nothing to cut
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

// cutInOldWorkers cuts the connections of old workers to failed servers. It asks the old workers once for all servers.
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

// forget deletes from cut the servers that are no longer due.
func forget(cut, due map[place]time.Time) {
	maps.DeleteFunc(cut, func(p place, _ time.Time) bool { _, still := due[p]; return !still })
}

// fresh says whether this outage of a server is another one than that of the last cut.
func fresh(cut map[place]time.Time, p place, since time.Time) bool {
	at, done := cut[p]
	return !done || at.Sub(since).Abs() > sameOutage
}

// due adds the servers whose connections must be cut now, with the time when they entered their state.
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

// dueOld adds the servers to which old workers must have no connections any more, with the time when they failed.
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
