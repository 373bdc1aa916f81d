package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"rlb.dev/rlb-agent/reconcile/host"
)

// listener is an address at which HAProxy or the agent must listen.
type listener struct {
	addr    netip.AddrPort
	field   string
	program string
}

// ports checks that no other program listens on the ports of the spec.
func ports(ctx context.Context, e *exam) (found []Finding, note string, err error) {
	if e.lookErr != nil {
		return nil, "", e.lookErr
	}
	sockets, err := e.host.Sockets(ctx)
	if err != nil {
		return nil, "", err
	}
	unit, err := e.host.Unit(ctx, host.HAProxyUnit)
	if err != nil {
		return nil, "", err
	}
	workers, workersErr := e.host.Workers(ctx, unit.MasterSocket())
	own := slices.Concat([]int{unit.MainPID}, workers.Current, workers.Old)
	ours := func(s host.Socket, l listener) bool {
		if l.program == "haproxy" && unit.Active() && workersErr == nil {
			return slices.Contains(own, s.PID)
		}
		return s.Program == l.program
	}
	unseen := 0
	for _, l := range e.listeners() {
		for _, s := range sockets {
			if !s.Overlaps(l.addr) || ours(s, l) {
				continue
			}
			if s.PID == 0 && unit.Active() { // only root can see which program has the socket
				unseen++
				continue
			}
			holder, fix := "another program", fmt.Sprintf("ss -ltnp 'sport = :%d' as root names the program: stop it, or change %s", l.addr.Port(), l.field)
			if s.PID != 0 {
				holder = fmt.Sprintf("%s (pid %d)", s.Program, s.PID)
				fix = fmt.Sprintf("systemctl status %d names its unit: stop and disable that, or change %s in the spec", s.PID, l.field)
			}
			found = append(found, errorf(fmt.Sprintf("port %d is taken", l.addr.Port()), fix,
				"%s listens on %v, where %s is to listen on %v (%s)", holder, s.Addr, l.program, l.addr, l.field))
		}
	}
	if unseen > 0 {
		return found, "", fmt.Errorf("cannot see who holds %d sockets: this needs root: %w", unseen, host.ErrUnavailable)
	}
	return found, "", nil
}

// listeners returns all addresses of the spec at which HAProxy and the agent must listen.
func (e *exam) listeners() (all []listener) {
	for _, l := range e.look.Desired.Listen {
		all = append(all, listener{l.Addr, l.Field, "haproxy"})
	}
	for _, more := range []struct{ text, field, program string }{
		{e.spec.Proxy.Stats.Address, "proxy.stats.address", "haproxy"},
		{e.spec.Metrics.Address, "metrics.address", "rlb-agent"},
		{e.spec.Web.Address, "web.address", "rlb-agent"},
	} {
		addr, err := netip.ParseAddrPort(more.text)
		known := slices.ContainsFunc(all, func(l listener) bool { return l.addr == addr })
		if err == nil && !known {
			all = append(all, listener{addr, more.field, more.program})
		}
	}
	return all
}
