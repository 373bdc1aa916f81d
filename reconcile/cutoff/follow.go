package cutoff

import (
	"context"
	"fmt"
	"strings"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
)

// follow gives each server of a second backend the maintenance, the drain or the weight 0 that somebody gave it in the
// first one while HAProxy runs ("set server … state", "set weight": management guide §9.3), and takes it back with the
// first one's. Without it new connections would go to that server once all others fail. The next reconcile sets both
// back to what the spec says.
func (c *Cutter) follow(ctx context.Context, services []service, states map[string][]host.ServerState) {
	if !c.mayDiffer(services, states) {
		return
	}
	servers, err := c.Host.RunningServers(ctx)
	if err != nil {
		return // as in look
	}
	running := map[place]host.RunningServer{}
	for _, s := range servers {
		running[place{s.Backend, s.Name}] = s
	}
	for _, s := range services {
		if !s.failOpen {
			continue
		}
		for _, first := range states[s.name] {
			want, known := running[place{s.name, first.Name}]
			second, there := running[place{render.FailOpenBackend(s.name), first.Name}]
			if known && there {
				c.give(ctx, s.name, want, second)
			}
		}
	}
}

// mayDiffer says whether HAProxy's statistics, which are there already, show a server out of service in one backend only.
func (c *Cutter) mayDiffer(services []service, states map[string][]host.ServerState) bool {
	for _, s := range services {
		if !s.failOpen {
			continue
		}
		out := map[string]string{}
		for _, second := range states[render.FailOpenBackend(s.name)] {
			out[second.Name] = outOfService(second)
		}
		for _, first := range states[s.name] {
			if second, there := out[first.Name]; there && second != outOfService(first) {
				return true
			}
		}
	}
	return false
}

// outOfService is HAProxy's word for a server that people took out of service; empty for the others.
func outOfService(s host.ServerState) string {
	for _, word := range []string{"MAINT", "DRAIN"} {
		if strings.HasPrefix(s.State, word) {
			return word
		}
	}
	if s.Weight == 0 {
		return "weight 0"
	}
	return ""
}

// give makes the second backend's server as the first one's.
func (c *Cutter) give(ctx context.Context, service string, want, have host.RunningServer) {
	var commands []string
	if want.Admin != have.Admin {
		commands = append(commands, fmt.Sprintf("set server %s/%s state %s", have.Backend, have.Name, want.Admin))
	}
	if none := want.Weight == 0; none != (have.Weight == 0) { // by parts of a hundred: every algorithm knows none and all
		commands = append(commands, fmt.Sprintf("set server %s/%s weight %d%%", have.Backend, have.Name, map[bool]int{true: 0, false: 100}[none]))
	}
	for _, command := range commands {
		if err := c.Host.Runtime(ctx, command); err != nil {
			c.logOnce(err.Error())
			return
		}
	}
	if len(commands) > 0 {
		c.Log.Info(fmt.Sprintf("server %s of service %s: the backend for failOpen follows what somebody set while haproxy runs", have.Name, service), "commands", strings.Join(commands, "; "))
	}
}
