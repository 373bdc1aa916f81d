package reconcile

import (
	"context"
	"fmt"
	"strings"

	"rlb.dev/rlb-agent/reconcile/host"
)

// serverStep is a change of one server of the running HAProxy. Where HAProxy does not take it, a reload is done instead.
type serverStep struct{ backend, name, config string }

func (s serverStep) Diff() string  { return "" }
func (s serverStep) place() string { return s.backend + "/" + s.name }
func (s serverStep) reload() Step  { return reloadUnit{name: host.HAProxyUnit, config: s.config} }
func (s serverStep) undo() []Step  { return []Step{s.reload()} }
func (s serverStep) String() string {
	return fmt.Sprintf("server %s of %s, while haproxy runs: ", s.name, s.backend)
}

// give gives HAProxy commands of its runtime API, in order, until one is not taken.
func give(ctx context.Context, t *tools, commands ...string) error {
	for _, command := range commands {
		if err := t.host.Runtime(ctx, command); err != nil {
			return err
		}
	}
	return nil
}

// setServer makes a server of the running HAProxy what its line says. Connections that it has stay.
type setServer struct {
	serverStep
	what     []string
	commands []string
}

func (s setServer) String() string { return s.serverStep.String() + strings.Join(s.what, ", ") }
func (s setServer) apply(ctx context.Context, t *tools) error {
	return give(ctx, t, s.commands...)
}

// addServer brings a new server into the running HAProxy.
type addServer struct {
	serverStep
	line serverLine
}

func (s addServer) String() string {
	return s.serverStep.String() + "add it, " + s.line.addr().String()
}
func (s addServer) apply(ctx context.Context, t *tools) error {
	return give(ctx, t, s.line.add(s.backend)...)
}

// retireServer gives a server that is no longer wanted no new connections. Drained and not in maintenance: that would
// cut the connections that it has, where its line says on-marked-down shutdown-sessions (tried with 2.6 and 3.0).
type retireServer struct{ serverStep }

func (s retireServer) String() string {
	return s.serverStep.String() + "no new connections, for it is not wanted; it is deleted when its last one has ended"
}
func (s retireServer) apply(ctx context.Context, t *tools) error {
	return give(ctx, t, "set server "+s.place()+" state drain")
}

// deleteServer takes away a server that is retired and has no connection left.
type deleteServer struct {
	plain
	backend, name string
}

func (s deleteServer) String() string {
	return fmt.Sprintf("server %s of %s, while haproxy runs: delete it, its last connection has ended", s.name, s.backend)
}
func (s deleteServer) apply(ctx context.Context, t *tools) error {
	place := s.backend + "/" + s.name
	return give(ctx, t, "set server "+place+" state maint", "del server "+place)
}

// insteadOf is the reload that does what a change of a running server could not, nil for other steps.
func insteadOf(s Step) Step {
	if s, ok := s.(interface{ reload() Step }); ok {
		return s.reload()
	}
	return nil
}
