package status

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
)

// haproxyNow is what HAProxy does at the moment.
type haproxyNow struct {
	seen      bool // somebody could look
	listening []netip.AddrPort
	states    []host.ServerState
	answers   bool // it said which servers are up
}

// services looks where HAProxy listens, and asks it for the servers.
func (r *reading) services(ctx context.Context, s *Status) []trouble {
	now, problems := r.haproxy(ctx, s)
	var services []trouble
	for _, service := range r.spec.Services {
		status := Service{Name: service.Name, Port: *service.Port, Listening: len(now.listening) > 0, NotSeen: !now.seen, Servers: r.servers(s, service, now)}
		for _, l := range render.Listen(r.spec, &service) {
			status.Listening = status.Listening && slices.Contains(now.listening, l)
		}
		status.FailOpen = now.answers && *service.FailOpen && allFail(status.Servers)
		s.Services = append(s.Services, status)
		switch {
		case !now.seen:
		case !status.Listening:
			services = append(services, trouble{"ServiceNotListening", fmt.Sprintf("service %s does not listen on port %d", service.Name, *service.Port)})
		case status.FailOpen:
			services = append(services, trouble{failOpen, fmt.Sprintf("service %s has no server that is up: new connections go to all of them (failOpen)", service.Name)})
		case now.answers && !slices.ContainsFunc(status.Servers, host.ServerState.Up):
			services = append(services, trouble{"NoServerUp", fmt.Sprintf("service %s has no server that is up", service.Name)})
		}
	}
	if len(problems) > 0 {
		return problems // the services follow from it
	}
	return services
}

// allFail says whether some servers fail their checks and no other gets new connections: HAProxy then uses the backend
// that fails open. Where people took all of them out of service, there is none to go to.
func allFail(servers []host.ServerState) bool {
	failing := false
	for _, s := range servers {
		if s.Up() && !s.Drained() {
			return false
		}
		failing = failing || strings.HasPrefix(s.State, "DOWN") || strings.HasPrefix(s.State, "NOLB")
	}
	return failing
}

// haproxy looks at the processes and asks them.
func (r *reading) haproxy(ctx context.Context, s *Status) (now haproxyNow, problems []trouble) {
	unit, ok := r.unit(ctx, host.HAProxyUnit)
	if !ok {
		s.HAProxy = nil
		return now, nil
	}
	s.HAProxy = &HAProxy{State: host.HAProxyStopped}
	now.seen = true
	if !unit.Active() {
		return now, []trouble{{"HAProxyStopped", fmt.Sprintf("haproxy is not running: it is %s (%s)", unit.ActiveState, unit.SubState)}}
	}
	now.listening, now.seen = r.listeners(ctx, s, unit)

	ask, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	states, err := r.o.Servers(ask)
	now.states, now.answers = states, err == nil
	r.note("the servers", err)
	switch guard := r.guard.HAProxy; {
	case guard == host.HAProxyFull || guard == host.HAProxyHung:
		s.HAProxy.State = guard
	case now.answers:
		s.HAProxy.State = host.HAProxyAnswers
	default:
		s.HAProxy.State = host.HAProxyUnknown
	}
	if s.HAProxy.State == host.HAProxyHung {
		problems = append(problems, trouble{"HAProxyHung", "haproxy is running, but does not answer"})
	}
	return now, problems
}

// listeners is where HAProxy listens, by its workers; where its master does not tell them, by its name. From 3.1 on a new
// worker is told before it listens. The old ones listen until then, and not any more.
func (r *reading) listeners(ctx context.Context, s *Status, unit host.Unit) (listening []netip.AddrPort, ok bool) {
	ask, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if socket := unit.MasterSocket(); socket != "" {
		workers, err := r.o.Workers(ask, socket)
		if err == nil {
			s.HAProxy.OldWorkers = len(workers.Old)
			listening, err = r.o.Listeners(ctx, slices.Concat(workers.Current, workers.Old)...)
		}
		if err == nil {
			return listening, true
		}
		r.note("haproxy's processes", err)
	}
	sockets, err := r.o.Sockets(ctx)
	r.note("what listens on this host", err)
	for _, socket := range sockets {
		if socket.Program == "haproxy" {
			listening = append(listening, socket.Addr)
		}
	}
	return listening, len(listening) > 0
}

// servers are those of a service in the order of the spec, as HAProxy sees them.
func (r *reading) servers(s *Status, service api.Service, now haproxyNow) []host.ServerState {
	var all []host.ServerState
	for _, state := range now.states {
		if state.Backend == service.Name {
			if before := r.before(service.Name, state); before != nil {
				state.Since = before.Since
				keepLastCheck(&state, before)
			}
			r.draining(s, service, &state)
			all = append(all, state)
		}
	}
	if len(all) > 0 {
		return all
	}
	for _, server := range service.Servers {
		address := net.JoinHostPort(server.Address, strconv.Itoa(*server.Port))
		all = append(all, host.ServerState{Backend: service.Name, Name: server.Name, Address: address, State: host.ServerUnknown})
	}
	return all
}

// draining adds to the state of a server that answers its check with a wrong status what becomes of its connections
// (healthCheck.cutAfter). It is the daemon that cuts them.
func (r *reading) draining(s *Status, service api.Service, state *host.ServerState) {
	keeps := render.Version(s.Versions.HAProxy).KeepsOnWrongStatus()
	switch {
	case *service.HealthCheck.CutAfter == 0:
		return
	case !keeps && strings.HasPrefix(state.State, "DOWN") && codeOf(state.Reason) == wrongStatus:
		state.Reason += "; cutAfter has no effect: it needs HAProxy 2.4"
		return
	case !keeps || !strings.HasPrefix(state.State, "NOLB"):
		return
	}
	state.Reason = drains + state.Reason
	switch {
	case r.agentUnseen && r.health == nil:
		return
	case !r.daemonRuns(s):
		state.Reason += "; connections are not cut while the agent does not run"
		return
	}
	state.CutAt = state.Since.Add(service.HealthCheck.CutAfter.D())
	switch left := state.CutAt.Sub(r.now).Round(time.Second); {
	case left > 0:
		state.Reason += fmt.Sprintf("; its connections are cut in %v", left)
	case left > -cutLate:
		state.Reason += "; its connections are about to be cut"
	default:
		state.Reason += "; its connections were cut"
	}
}

// cutLate is how much later than the status tells connections are cut at most, on a machine that is not busy.
const cutLate = host.SinceRounding + 4*time.Second

// drains begins the reason of a server that drains.
const drains = "draining: "

// wrongStatus is HAProxy's code of a failed check with a wrong status.
const wrongStatus = "L7STS"

// daemonRuns says whether the daemon runs: this process is its own, or its unit runs.
func (r *reading) daemonRuns(s *Status) bool {
	return r.health != nil || s.Agent != nil && s.Agent.Running
}

// before is the server in the last status, where it was then as it is now. HAProxy tells how many seconds ago that began,
// so the time told in the last status stays as long as the two are the same but for rounding.
func (r *reading) before(service string, state host.ServerState) *host.ServerState {
	for _, last := range r.last.Services {
		if last.Name != service {
			continue
		}
		for i, server := range last.Servers {
			if server.Name == state.Name && server.State == state.State && server.Since.Sub(state.Since).Abs() <= 2*time.Second {
				return &last.Servers[i]
			}
		}
	}
	return nil
}

// keepLastCheck keeps what the last status says of a server's last check. While a further one is under way HAProxy tells
// its kind alone.
func keepLastCheck(state *host.ServerState, before *host.ServerState) {
	if code := codeOf(state.Reason); state.Checking && code != "" && code == codeOf(before.Reason) {
		state.Reason = strings.TrimPrefix(before.Reason[:strings.LastIndex(before.Reason, ")")+1], drains)
		state.HTTPStatus = before.HTTPStatus
	}
}

// codeOf is HAProxy's code of a check in a reason, as L7STS in "… (L7STS 500)"; empty where there is none.
func codeOf(reason string) string {
	_, brackets, _ := strings.Cut(reason[max(0, strings.LastIndex(reason, "(")):], "(")
	inside, _, _ := strings.Cut(brackets, ")")
	code, _, _ := strings.Cut(inside, " ")
	return code
}
