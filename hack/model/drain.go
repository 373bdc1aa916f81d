package model

import (
	"context"
	"io/fs"
	"log/slog"
	"net/netip"
	"time"

	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/render"
)

// command is rlb-agent drain and undrain on a host: the real reconcile.Reconciler, on files in memory, with the host's own
// network.
type command struct {
	*fake.Host
	looks *agent // it looks at the network as the agent does
}

// drain begins to run rlb-agent drain, or undrain once that has ended. The pair waits for its end.
func (p *pair) drain(a *act, out bool) {
	before := a.drained
	ended := make(chan struct{})
	a.drained = ended
	p.commands.Go(func() {
		defer close(ended)
		if before != nil {
			<-before
		}
		r := reconcile.Reconciler{Host: &command{a.m.files, &agent{m: a.m}}, Log: slog.New(slog.DiscardHandler)}
		var err error
		if out {
			_, err = r.Drain(p.ctx, a.m.doc, false, 0)
		} else {
			_, err = r.Undrain(p.ctx, a.m.doc)
		}
		if err != nil { // nobody took over, as where the other host is in FAULT
			p.Lock()
			defer p.Unlock()
			p.tell("%s: %v", a.m.name, err)
		}
	})
}

// Interfaces are those of the host.
func (c *command) Interfaces(ctx context.Context) ([]host.Interface, error) {
	return c.looks.Interfaces(ctx)
}

// Neighbours are those of the host.
func (c *command) Neighbours(ctx context.Context, iface string, addrs []netip.Addr) (map[netip.Addr]string, error) {
	return c.looks.Neighbours(ctx, iface, addrs)
}

// WriteFile writes a file; keepalived tracks one.
func (c *command) WriteFile(ctx context.Context, path string, data []byte, mode fs.FileMode, uid, gid int) error {
	if path == render.DrainFile {
		m := c.looks.m
		m.Lock()
		defer m.Unlock()
		m.drain = string(data) == render.TrackedText(true)
		m.soon(100*time.Microsecond, time.Millisecond, m.keepalived.wake)
	}
	return c.Host.WriteFile(ctx, path, data, mode, uid, gid)
}
