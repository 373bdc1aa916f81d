package cutoff

import (
	"context"
	"fmt"
	"strings"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
)

// follow copies maintenance, drain and weight 0 from the servers of a service's own backend to the fail-open backend, and
// takes them back with the original. Somebody has set them while HAProxy runs ("set server … state", "set weight": management
// guide §9.3). Without the copy, new connections would go to that server once all others fail. The next reconcile sets
// both backends back to the spec.
func (c *Cutter) follow(ctx context.Context, services []service, states map[string][]host.ServerState) {
	if !c.mayDiffer(services, states) {
		return
	}
	servers, err := c.Host.RunningServers(ctx)
	if err != nil {
		return // the agent reports a stopped or hung HAProxy elsewhere
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

// mayDiffer says whether a server is out of service in one of the two backends only. It uses the statistics that look has
// read already.
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

// outOfService returns HAProxy's word for the state of a server that somebody took out of service, or "weight 0"; "" for
// the other servers.
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

// give sets the server of the fail-open backend to the state of the server in the service's own backend.
func (c *Cutter) give(ctx context.Context, service string, want, have host.RunningServer) {
	var commands []string
	if want.Admin != have.Admin {
		commands = append(commands, fmt.Sprintf("set server %s/%s state %s", have.Backend, have.Name, want.Admin))
	}
	if none := want.Weight == 0; none != (have.Weight == 0) { // in percent: every algorithm accepts 0 % and 100 %
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
