package fake

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"rlb.dev/rlb-agent/reconcile/host"
)

// server is a server of the running HAProxy.
type server struct {
	backend, name string
	balance       string
	address       string // with port
	weight, most  int
	words         string // all other words of its line
	admin         host.AdminState
	checkOff      bool
	around        string // the other lines of its backend
	former        string // the address that it shows for the next looks queries
	looks         int
}

func (s server) place() string { return s.backend + "/" + s.name }

func (s server) String() string {
	return fmt.Sprintf("%s %s %s weight %d maxconn %d %s%s", s.place(), s.address, s.words, s.weight, s.most, s.admin, word(s.checkOff, " check off"))
}

// serversIn returns the servers of a haproxy.cfg.
func serversIn(unit, config string) (all []server) {
	if unit != host.HAProxyUnit {
		return nil
	}
	backend, balance, around := "", "", ""
	for line := range strings.Lines(config) {
		switch words := strings.Fields(line); {
		case len(words) > 1 && words[0] == "backend":
			backend, balance, around = words[1], "", ""
		case len(words) > 1 && words[0] == "balance":
			balance = words[1]
		case len(words) > 2 && words[0] == "server":
			s := newServer(backend, words[1:])
			s.balance, s.around, s.admin = balance, around, host.AdminReady
			all = append(all, s)
		default:
			around += line
		}
	}
	return all
}

// newServer parses the name, the address and the options of a server.
func newServer(backend string, words []string) server {
	s := server{backend: backend, name: words[0], address: words[1], weight: 1}
	var rest []string
	for i := 2; i < len(words); i++ {
		switch words[i] {
		case "weight":
			i++
			s.weight, _ = strconv.Atoi(words[i])
		case "maxconn":
			i++
			s.most, _ = strconv.Atoi(words[i])
		default:
			rest = append(rest, words[i])
		}
	}
	s.words = strings.Join(rest, " ")
	return s
}

// withoutServers returns a haproxy.cfg without its servers, which can differ from the running ones.
func withoutServers(unit, config string) string {
	var b strings.Builder
	for line := range strings.Lines(config) {
		if unit != host.HAProxyUnit || !strings.HasPrefix(strings.TrimSpace(line), "server ") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// states returns the servers with the results of their checks.
func (h *Host) states(servers []server) []host.ServerState {
	var all []host.ServerState
	for _, s := range servers {
		line := fmt.Sprintf("server %s %s %s", s.name, s.address, s.words)
		state := host.ServerState{Backend: s.backend, Name: s.name, Address: s.address, State: "UP", Reason: "L4OK", Checked: true}
		if s.admin == host.AdminDrain || s.weight == 0 {
			state.State = "DRAIN"
		}
		if h.Sick != "" && strings.Contains(s.around+line, h.Sick) {
			state.State, state.Reason = "DOWN", "L4CON: connection refused"
		}
		if s.admin == host.AdminMaint {
			state.State = "MAINT"
		}
		state.Checked = h.Unchecked == "" || !strings.Contains(line, h.Unchecked)
		all = append(all, state)
	}
	return all
}

// RunningServers returns the servers of the running HAProxy.
func (h *Host) RunningServers(ctx context.Context) ([]host.RunningServer, error) {
	if err := h.look(ctx, "RunningServers"); err != nil {
		return nil, err
	}
	u := h.seen(host.HAProxyUnit)
	if !u.active {
		return nil, unavailable("ask haproxy how its servers run")
	}
	var all []host.RunningServer
	for i, s := range u.servers {
		addr, _ := netip.ParseAddrPort(s.address)
		if s.looks > 0 {
			addr, _ = netip.ParseAddrPort(s.former)
			u.servers[i].looks--
		}
		all = append(all, host.RunningServer{
			Backend: s.backend, Name: s.name, Addr: addr, Weight: s.weight, MaxConnections: s.most,
			Admin: s.admin, CheckOff: s.checkOff, Sessions: h.Sessions[s.place()],
		})
	}
	return all, nil
}

// CutSessions closes the connections with a server.
func (h *Host) CutSessions(ctx context.Context, backend, server string) error {
	return h.effect(ctx, "CutSessions", backend+"/"+server, func() error {
		h.Sessions = maps.Clone(h.Sessions) // a clone of the host may share it
		delete(h.Sessions, backend+"/"+server)
		h.cutOld([]string{backend + "/" + server})
		return nil
	})
}

// CutOldSessions closes the connections of old workers with these servers.
func (h *Host) CutOldSessions(ctx context.Context, servers []string) (cut int, err error) {
	err = h.effect(ctx, "CutOldSessions", strings.Join(servers, " "), func() error {
		cut = h.cutOld(servers)
		return nil
	})
	return cut, err
}

func (h *Host) cutOld(servers []string) (cut int) {
	h.OldSessions = maps.Clone(h.OldSessions)
	for _, server := range servers {
		cut += h.OldSessions[server]
		delete(h.OldSessions, server)
	}
	return cut
}

// Runtime executes one command of HAProxy's runtime API like HAProxy 2.6.
func (h *Host) Runtime(ctx context.Context, command string) error {
	return h.effect(ctx, "Runtime", command, func() error {
		u := h.unit(host.HAProxyUnit)
		words := strings.Fields(command)
		refuse := func(why string) error { return fmt.Errorf("cannot give haproxy the command %q: %s", command, why) }
		if !u.active || h.Stubborn != "" && strings.Contains(command, h.Stubborn) {
			return refuse("it does not take it")
		}
		if len(words) > 3 && words[1] == "maxconn" { // set maxconn server b/s N
			words = []string{"set", "server", words[3], "maxconn", words[4]}
		}
		backend, name, ok := strings.Cut(words[2], "/")
		if !ok {
			return refuse("Require 'backend/server'.")
		}
		at := slices.IndexFunc(u.servers, func(s server) bool { return s.backend == backend && s.name == name })
		if verb := words[0] + " " + words[1]; verb == "add server" {
			return h.addServer(u, backend, append([]string{name}, words[3:]...), at, refuse)
		} else if at < 0 {
			return refuse("No such server.")
		} else {
			return h.changeServer(u, at, verb, words[3:], refuse)
		}
	})
}

func (h *Host) addServer(u *unit, backend string, words []string, at int, refuse func(string) error) error {
	neighbour := slices.IndexFunc(u.servers, func(s server) bool { return s.backend == backend })
	switch {
	case at >= 0:
		return refuse("Already exists a server with the same name in backend.")
	case neighbour < 0:
		return refuse("No such backend.")
	}
	s := newServer(backend, words)
	s.balance, s.around, s.admin = u.servers[neighbour].balance, u.servers[neighbour].around, host.AdminMaint
	s.checkOff = strings.HasPrefix(s.words, "check")
	if s.balance == "source" || s.balance == "static-rr" {
		return refuse("Backend must use a dynamic load balancing to support dynamic servers.")
	}
	u.servers = append(u.servers, s)
	return nil
}

func (h *Host) changeServer(u *unit, at int, verb string, words []string, refuse func(string) error) error {
	s := &u.servers[at]
	switch {
	case verb == "enable health" && !strings.HasPrefix(s.words, "check"):
		return refuse("Health check was not configured on this server, cannot enable.")
	case verb == "enable health":
		s.checkOff = false
	case verb == "enable server":
		s.admin = host.AdminReady
	case verb == "del server" && s.admin != host.AdminMaint:
		return refuse("Only servers in maintenance mode can be deleted.")
	case verb == "del server" && h.Sessions[s.place()] > 0:
		return refuse("Server still has connections attached to it, cannot remove it.")
	case verb == "del server":
		u.servers = slices.Delete(slices.Clone(u.servers), at, at+1)
	case words[0] == "state":
		s.admin = host.AdminState(words[1])
		if s.admin == host.AdminMaint && strings.Contains(s.words, "shutdown-sessions") {
			delete(h.Sessions, s.place())
		}
	case words[0] == "addr" && s.looks > 0: // ignored
	case words[0] == "addr":
		s.former, s.looks = s.address, h.LateAddress
		port, _ := strconv.ParseUint(words[3], 10, 16)
		s.address = netip.AddrPortFrom(netip.MustParseAddr(words[1]), uint16(port)).String()
	case words[0] == "maxconn":
		s.most, _ = strconv.Atoi(words[1])
	case words[0] == "weight" && words[1] == "100%":
		s.weight = 1
	case words[0] == "weight" && (s.balance == "source" || s.balance == "static-rr"):
		return refuse("Backend is using a static LB algorithm and only accepts weights '0%' and '100%'.")
	case words[0] == "weight":
		s.weight, _ = strconv.Atoi(words[1])
	default:
		return refuse("Unknown command")
	}
	return nil
}
