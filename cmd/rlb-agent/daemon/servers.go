package daemon

import (
	"log/slog"
	"maps"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
)

// serverTeller logs which servers HAProxy takes out of a service and back in, and why. Only one goroutine calls it.
type serverTeller struct {
	log  *slog.Logger
	last map[string]map[string]string // by service and server: the state that was last logged
	down map[string]bool              // services without a server that is up, as last logged
}

// The states that are distinguished.
const (
	serverUp   = "UP"
	serverNOLB = "NOLB" // its check gets a wrong HTTP status: no new connections
	serverDown = "DOWN"
)

// stateOf returns one of the states above; "" if there is nothing to log: an administrator took the server out, or its
// check has no result yet, as after a reload.
func stateOf(s host.ServerState) string {
	for _, state := range []string{serverDown, serverNOLB} {
		if strings.HasPrefix(s.State, state) {
			return state
		}
	}
	switch {
	case strings.Contains(s.State, "resolution"): // "MAINT (resolution)": its DNS name does not resolve
		return serverDown
	case !s.Checked || !s.Up() || s.Drained():
		return ""
	}
	return serverUp
}

// look compares HAProxy's servers with the last look and logs what changed. The first look logs what is down.
func (t *serverTeller) look(states []host.ServerState) {
	services := map[string][]host.ServerState{}
	for _, s := range states {
		if !strings.HasSuffix(s.Backend, render.FailOpenBackend("")) {
			services[s.Backend] = append(services[s.Backend], s)
		}
	}
	if t.last == nil {
		t.last, t.down = map[string]map[string]string{}, map[string]bool{}
	}
	maps.DeleteFunc(t.last, func(service string, _ map[string]string) bool { return services[service] == nil })
	maps.DeleteFunc(t.down, func(service string, _ bool) bool { return services[service] == nil })
	for _, service := range slices.Sorted(maps.Keys(services)) {
		t.service(service, services[service])
	}
}

func (t *serverTeller) service(name string, servers []host.ServerState) {
	before, now := t.last[name], map[string]string{}
	var up []string
	out := 0 // servers that get no new connections
	for _, s := range servers {
		state := stateOf(s)
		switch {
		case state == "":
			state = before[s.Name] // as it was last logged
		case state != before[s.Name] && (state != serverUp || before[s.Name] != ""):
			t.server(name, s, state, before[s.Name])
		}
		switch now[s.Name] = state; {
		case state == serverUp:
			up = append(up, s.Name)
		case state != "" || !s.Up():
			out++
		}
	}
	t.last[name] = now
	switch {
	case out == len(servers) && !t.down[name]:
		t.down[name] = true
		t.log.Error("service "+name+": all servers are down", "service", name, "state", serverDown)
	case len(up) > 0 && t.down[name]:
		delete(t.down, name)
		t.log.Info("service "+name+": served again by "+strings.Join(up, ", "), "service", name, "state", serverUp)
	}
}

func (t *serverTeller) server(service string, s host.ServerState, state, was string) {
	text := map[string]string{serverUp: "is up", serverDown: "is down", serverNOLB: "gets no new connections"}[state]
	message := "service " + service + ": server " + s.Name + " " + text
	if s.Reason != "" {
		message += ": " + s.Reason
	}
	log := t.log.Warn
	if state == serverUp {
		log = t.log.Info
	}
	log(message, "service", service, "server", s.Name, "state", state, "was", was, "why", s.Reason)
}
