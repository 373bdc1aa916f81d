package plan

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
)

// runtimeStep changes the running HAProxy by commands of its runtime API, in order, until HAProxy refuses one.
func runtimeStep(backend, server, what string, commands ...string) Step {
	return Step{
		Verb: "set", Object: backend + "/" + server,
		Text: fmt.Sprintf("server %s of %s, while haproxy runs: %s", server, backend, what),
		Do: func(ctx context.Context, t *Tools) error {
			for _, command := range commands {
				if err := t.Host.Runtime(ctx, command); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// serverStep is a change of one server of the running HAProxy. If HAProxy refuses it, a reload has the same result.
func serverStep(backend, server, config, what string, commands ...string) Step {
	s := runtimeStep(backend, server, what, commands...)
	reload := reloadUnit(host.HAProxyUnit, config)
	s.Loads, s.Serving, s.Instead = reload.Loads, true, &reload
	return s.undoneBy(reload)
}

// setServer brings a server of the running HAProxy in line with its server line. The connections of the server stay.
func setServer(backend string, want render.Server, have host.RunningServer, config string, what, commands []string) Step {
	s := serverStep(backend, want.Name, config, strings.Join(what, ", "), commands...)
	s.Drift = fmt.Sprintf("server %s of %s was changed in the running haproxy: put back (%s)", want.Name, backend, strings.Join(what, ", "))
	addr, give := want.Addr(), s.Do
	if !addr.IsValid() || addr == have.Addr {
		return s
	}
	s.Do = func(ctx context.Context, t *Tools) error {
		if err := give(ctx, t); err != nil {
			return err
		}
		return awaitAddress(ctx, t.Host, backend, want.Name, addr)
	}
	return s
}

// HAProxy 3.0 and newer answer before they change an address, and lose a second change that comes before the first is done.
const (
	addressTime  = time.Second           // longest wait for a new address
	addressPause = 10 * time.Millisecond // between two reads
)

// awaitAddress waits until a server of the running HAProxy has its new address.
func awaitAddress(ctx context.Context, o host.Observer, backend, server string, addr netip.AddrPort) error {
	for deadline := time.Now().Add(addressTime); ; time.Sleep(addressPause) {
		servers, err := o.RunningServers(ctx)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(servers, func(have host.RunningServer) bool { return have.Backend == backend && have.Name == server })
		switch {
		case at >= 0 && servers[at].Addr == addr:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("cannot see address %v at server %s/%s", addr, backend, server)
		}
	}
}

// addServer adds a server to the running HAProxy.
func addServer(backend, config string, line render.Server) Step {
	return serverStep(backend, line.Name, config, "add it, "+line.Addr().String(), add(backend, line)...)
}

// retireServer stops new connections to a server that is no longer wanted. The server is set to drain, not to maintenance:
// maintenance would cut its connections if its line says on-marked-down shutdown-sessions (tried with 2.6 and 3.0).
func retireServer(backend, server, config string) Step {
	return serverStep(backend, server, config, "drain (it is not in the spec): no new connections; delete when idle",
		"set server "+backend+"/"+server+" state drain")
}

// deleteServer deletes a retired server that has no connection left.
func deleteServer(backend, server string) Step {
	place := backend + "/" + server
	return runtimeStep(backend, server, "delete it, its last connection has ended", "set server "+place+" state maint", "del server "+place)
}
