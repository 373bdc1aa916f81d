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

// haproxyNow is the present state of HAProxy.
type haproxyNow struct {
	seen      bool // its unit and its sockets could be read
	listening []netip.AddrPort
	states    []host.ServerState
	answers   bool // HAProxy told the states of its servers
}

// services reads where HAProxy listens and asks HAProxy for the servers.
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
		return problems // they cause the problems of the services
	}
	return services
}

// allFail reports whether some servers fail their checks and no other server gets new connections: HAProxy then uses
// the backend that fails open. If an administrator took all servers out of service, that backend has no server either.
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

// haproxy looks at HAProxy's unit and processes and asks HAProxy for the states of its servers.
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

// listeners is where HAProxy listens: the sockets of its workers, or, if its master process does not name them, all
// sockets of programs with HAProxy's name. From HAProxy 3.1 on, the master names a new worker before this worker
// listens. The old workers listen until then and are therefore included.
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

// servers are the servers of a service as HAProxy reports them, or as the spec names them if HAProxy does not answer.
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

// draining adds to the reason of a server that answers its check with a wrong status when its connections are cut
// (healthCheck.cutAfter). The daemon cuts them.
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

// cutLate is by how much connections are cut later than the status says, at most, on a machine that is not busy.
const cutLate = host.SinceRounding + 4*time.Second

// drains begins the reason of a server that gets no new connections because of a wrong status.
const drains = "draining: "

// wrongStatus is HAProxy's code of a check that failed because of a wrong status.
const wrongStatus = "L7STS"

// daemonRuns reports whether the daemon runs: this process is the daemon, or its unit is active.
func (r *reading) daemonRuns(s *Status) bool {
	return r.health != nil || s.Agent != nil && s.Agent.Running
}

// before is the server in the last status if its state is still the same. HAProxy reports the age of the state in whole
// seconds. So the time in the last status is kept while the two times differ only by rounding.
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

// keepLastCheck keeps the result of a server's last check from the last status. While the next check runs, HAProxy
// reports only the code of the last one.
func keepLastCheck(state *host.ServerState, before *host.ServerState) {
	if code := codeOf(state.Reason); state.Checking && code != "" && code == codeOf(before.Reason) {
		state.Reason = strings.TrimPrefix(before.Reason[:strings.LastIndex(before.Reason, ")")+1], drains)
		state.HTTPStatus = before.HTTPStatus
	}
}

// codeOf is HAProxy's code of a check at the end of a reason, for example L7STS in "… (L7STS 500)"; "" if there is
// none.
func codeOf(reason string) string {
	_, brackets, _ := strings.Cut(reason[max(0, strings.LastIndex(reason, "(")):], "(")
	inside, _, _ := strings.Cut(brackets, ")")
	code, _, _ := strings.Cut(inside, " ")
	return code
}
