package fake

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
)

// VRRP returns the instances that keepalived has loaded: in their Role, or in FAULT because of Faulty or Follows.
func (h *Host) VRRP(ctx context.Context, pid int) ([]host.Instance, error) {
	if err := h.look(ctx, "VRRP"); err != nil {
		return nil, err
	}
	u := h.seen(host.KeepalivedUnit)
	if u.pid != pid || pid == 0 {
		return nil, unavailable("ask keepalived for its state")
	}
	if h.Lost != "" && strings.Contains(u.loaded, h.Lost) {
		return nil, nil
	}
	role := cmp.Or(h.Role, host.RoleBackup)
	if h.Faulty != "" && strings.Contains(u.loaded, h.Faulty) || h.Follows && !h.seen(host.HAProxyUnit).active {
		role = host.RoleFault
	}
	var all []host.Instance
	for line := range strings.Lines(u.loaded) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == "vrrp_instance" {
			all = append(all, host.Instance{Name: words[1], Role: role, Since: u.since})
		}
	}
	return all, nil
}

// Servers returns the servers of the running HAProxy: up, or down because of Sick.
func (h *Host) Servers(ctx context.Context) ([]host.ServerState, error) {
	if err := h.look(ctx, "Servers"); err != nil {
		return nil, err
	}
	return h.states(h.seen(host.HAProxyUnit).servers), nil
}

// Rehearse shows the servers of a file that HAProxy has not loaded.
func (h *Host) Rehearse(ctx context.Context, file render.File, seen func([]host.ServerState) bool) error {
	if err := h.look(ctx, "Rehearse"); err != nil {
		return err
	}
	if h.Blind { // no rehearsal: errors show only after the reload
		return unavailable("rehearse the health checks")
	}
	h.Rehearsed++
	seen(h.states(serversIn(host.HAProxyUnit, string(file.Data))))
	return nil
}

// Sockets returns HAProxy's sockets, and those of the other programs in Taken.
func (h *Host) Sockets(ctx context.Context) ([]host.Socket, error) {
	if err := h.look(ctx, "Sockets"); err != nil {
		return nil, err
	}
	var all []host.Socket
	u := h.seen(host.HAProxyUnit)
	for _, addr := range binds(u.loaded) {
		all = append(all, host.Socket{Addr: addr, PID: u.pid, Program: "haproxy"})
	}
	for port, program := range h.Taken {
		all = append(all, host.Socket{Addr: netip.AddrPortFrom(netip.IPv4Unspecified(), port), PID: 1, Program: program})
	}
	slices.SortFunc(all, func(a, b host.Socket) int { return a.Addr.Compare(b.Addr) })
	return all, nil
}

// Additions returns the packages among these and their dependencies that are not installed.
func (h *Host) Additions(ctx context.Context, packages ...string) ([]string, error) {
	if err := h.look(ctx, "Additions"); err != nil {
		return nil, err
	}
	var all []string
	for _, request := range packages {
		name, _, _ := strings.Cut(request, "=")
		for _, name := range append(slices.Clone(dependencies[name]), name) {
			if h.Installed(name) == "" && !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all, nil
}
