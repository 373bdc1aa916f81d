package export

import (
	"context"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/status"
)

var roles = []host.Role{host.RoleMaster, host.RoleBackup, host.RoleFault, host.RoleStopped, host.RoleUnknown}

var haproxyStates = []host.HAProxyState{host.HAProxyAnswers, host.HAProxyFull, host.HAProxyHung, host.HAProxyStopped, host.HAProxyUnknown}

// serverStates are HAProxy's states of a server, as in its own exporter. NOLB: a server that drains; its check gets a
// wrong HTTP status, it gets no new connections and keeps its own.
var serverStates = []string{"UP", "DOWN", "NOLB", "DRAIN", "MAINT", host.ServerUnknown}

// serverState returns one of serverStates. HAProxy adds words to them ("DOWN 1/2", "MAINT (resolution)"). A server
// without a check is up.
func serverState(s host.ServerState) string {
	word, _, _ := strings.Cut(s.State, " ")
	switch {
	case slices.Contains(serverStates, word):
		return word
	case s.Up():
		return "UP"
	}
	return host.ServerUnknown
}

// expose writes all metrics for Prometheus. process adds the metrics of this process, for a scrape of the agent itself.
func (e *Exporter) expose(ctx context.Context, process bool) []byte {
	x := new(exposition)
	x.family("rlb_build_info", gauge, "The agent's version.").add(1, "version", e.Version)
	role, _ := state.ReadRole(ctx, e.Host)
	exposeStatus(x, e.now(ctx), role.Transitions)
	e.runs.expose(x)
	if process {
		exposeProcess(x)
	}
	return []byte(x.String())
}

// exposeStatus writes the metrics of a status. It omits what is not known.
func exposeStatus(e *exposition, s status.Status, transitions int) {
	if s.Kind == "" { // no status yet
		return
	}
	exposeSpec(e, s)
	set(e.family("rlb_role", gauge, "Whether this host has the role in the virtual router."), "role", s.Role, roles)
	if !s.RoleSince.IsZero() {
		e.family("rlb_role_since_timestamp_seconds", gauge, "When this host took its present role.").add(seconds(s.RoleSince))
	}
	e.family("rlb_role_transitions_total", counter, "Changes of the role that the agent saw.").add(float64(transitions))
	e.family("rlb_drained", gauge, "Whether an administrator took this host out.").add(truth(s.Drained))
	if s.Draining != nil {
		e.family("rlb_draining_connections", gauge, "Connections from before a drain that this host still serves.").add(float64(s.Draining.Connections))
	}
	if len(s.VirtualIPs) > 0 {
		held := e.family("rlb_virtual_ip_held", gauge, "Whether the virtual IP is on an interface of this host.")
		for _, v := range s.VirtualIPs {
			held.add(truth(v.Held), "address", v.Address)
		}
	}
	exposePeers(e, s.Peers)
	exposeHeadroom(e, s.Headroom)
	exposeServices(e, s)
	conditions := e.family("rlb_condition", gauge, "Whether the condition of the status has this value.")
	for _, c := range s.Conditions {
		set(conditions, "status", c.Status, []string{"True", "False", "Unknown"}, "type", c.Type)
	}
	e.family("rlb_drift_found_total", counter, "Times that the host differed from the spec in force (drift).").add(float64(s.Drift.Found))
	e.family("rlb_drift_repaired_total", counter, "Times that drift was repaired.").add(float64(s.Drift.Repaired))
	exposeUpdates(e, s.Updates)
}

// exposeSpec writes which spec is in force. To compare hosts, use the digest: each host counts its own generations.
func exposeSpec(e *exposition, s status.Status) {
	e.family("rlb_spec_generation", gauge, "The generation of the spec file on this host.").add(float64(s.Generation))
	e.family("rlb_spec_observed_generation", gauge, "The generation of the spec that is in force.").add(float64(s.ObservedGeneration))
	if c := s.Condition("SpecValid"); c.Status != "" {
		e.family("rlb_spec_valid", gauge, "Whether the spec file is accepted.").add(truth(c.Status == "True"))
	}
	if len(s.VirtualIPs) > 0 {
		e.family("rlb_spec_info", gauge, "The spec file of this host. The main virtual IP names the pair; the digest is short.").add(1,
			"name", s.Metadata.Name, "node", s.Node, "virtual_ip", s.VirtualIPs[0].Address, "digest", s.SpecDigest[:min(len(s.SpecDigest), 12)])
	}
}

func exposePeers(e *exposition, peers []status.Peer) {
	var seen *samples
	for i, p := range peers {
		same := func(before status.Peer) bool {
			return before.Name == p.Name && before.Address == p.Address && before.State != status.PeerUnknown
		}
		if p.State == status.PeerUnknown || slices.ContainsFunc(peers[:i], same) { // two hosts can have one name if the spec has no nodes
			continue
		}
		if seen == nil {
			seen = e.family("rlb_peer_seen", gauge, "Whether the other node is seen.")
		}
		seen.add(truth(p.State == status.PeerSeen), "peer", p.Name, "address", p.Address)
	}
}

// exposeHeadroom writes how close the last hour came to a takeover without cause.
func exposeHeadroom(e *exposition, h *status.Headroom) {
	if h == nil {
		return
	}
	e.family("rlb_advertisement_interval_seconds", gauge, "Time between two advertisements, as the spec says.").add(h.Interval.Seconds())
	e.family("rlb_advertisement_gap_allowed_seconds", gauge, "Silence after which this host takes the virtual IPs over.").add(h.Allowed.Seconds())
	if h.WorstGap > 0 {
		e.family("rlb_advertisement_gap_worst_seconds", gauge, "Longest time between two advertisements of the holder in the last hour.").add(h.WorstGap.Seconds())
	}
	if h.Recommended > 0 {
		e.family("rlb_advertisement_interval_recommended_seconds", gauge, "Shortest advertisement interval that would have been safe in the last hour.").add(h.Recommended.Seconds())
	}
	e.family("rlb_timer_lateness_worst_seconds", gauge, "Longest delay of a timer of the agent in the last hour.").add(h.WorstLate.Seconds())
}

func exposeServices(e *exposition, s status.Status) {
	if s.HAProxy == nil {
		return
	}
	set(e.family("rlb_haproxy_state", gauge, "State of the local HAProxy."), "state", s.HAProxy.State, haproxyStates)
	e.family("rlb_haproxy_old_workers", gauge, "Processes of HAProxy that finish their connections after a reload.").add(float64(s.HAProxy.OldWorkers))
	listening := e.family("rlb_service_listening", gauge, "Whether HAProxy listens for the service.")
	for _, service := range s.Services {
		listening.add(truth(service.Listening), "service", service.Name)
	}
	exposeServers(e, s.Services)
	open := e.family("rlb_service_fail_open", gauge, "Whether all servers of the service are down but still get new connections (failOpen).")
	for _, service := range s.Services {
		if slices.ContainsFunc(service.Servers, func(s host.ServerState) bool { return s.State != host.ServerUnknown }) { // else HAProxy does not answer
			open.add(truth(service.FailOpen), "service", service.Name)
		}
	}
}

func exposeServers(e *exposition, services []status.Service) {
	each := func(do func(server host.ServerState, labels ...string)) {
		for _, service := range services {
			for _, server := range service.Servers {
				do(server, "service", service.Name, "server", server.Name)
			}
		}
	}
	up := e.family("rlb_server_up", gauge, "Whether HAProxy considers the server healthy.")
	each(func(server host.ServerState, labels ...string) { up.add(truth(server.Up()), labels...) })
	states := e.family("rlb_server_state", gauge, "1 for the state that HAProxy reports of the server. NOLB: a wrong status, so it drains.")
	each(func(server host.ServerState, labels ...string) {
		states.add(1, append([]string{"state", serverState(server)}, labels...)...)
	})
	answered := e.family("rlb_server_check_http_status", gauge, "HTTP status that the server answered its last health check with.")
	each(func(server host.ServerState, labels ...string) {
		if server.HTTPStatus > 0 {
			answered.add(float64(server.HTTPStatus), labels...)
		}
	})
	cut := e.family("rlb_server_cut_timestamp_seconds", gauge, "When the connections of a server that drains are cut (cutAfter), or were.")
	each(func(server host.ServerState, labels ...string) {
		if !server.CutAt.IsZero() {
			cut.add(seconds(server.CutAt), labels...)
		}
	})
}

func exposeUpdates(e *exposition, u *status.Updates) {
	if u == nil {
		return
	}
	count := map[bool]int{}
	for _, h := range u.HeldBack {
		count[h.Security]++
	}
	e.family("rlb_held_back_packages", gauge, "Packages that a hold keeps from a newer version.").
		add(float64(count[true]), "security", "true").add(float64(count[false]), "security", "false")
	if len(u.HeldBack) > 0 {
		info := e.family("rlb_held_back_package_info", gauge, "A package that a hold keeps from a newer version.")
		for _, h := range u.HeldBack {
			info.add(1, "package", h.Package, "version", h.Version, "candidate", h.Candidate)
		}
	}
}
