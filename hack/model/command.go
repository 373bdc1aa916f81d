package model

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"rlb.dev/rlb-agent/reconcile/failover"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render"
	"rlb.dev/rlb-agent/render/vrrp"
)

// command is the host as a program of the agent sees it that changes it: its files and packages are in memory, its
// keepalived and its network are those of the machine. HAProxy always runs there: what happens to it is for failover.
// Whoever holds the machine's lock is the only one to change the files.
type command struct {
	*fake.Host
	*agent // the process that it runs in
}

var _ failover.RejoinHost = (*command)(nil)

// commandOf is a command that runs in a process. The world's lock is held.
func commandOf(a *agent) *command { return &command{a.m.files, a} }

// lock is what flock(2) is for /run/rlb/lock: it waits until no other process changes the host.
func (a *agent) lock(ctx context.Context) (unlock func(), err error) {
	for {
		got := false
		if err := a.do(func() {
			if got = a.m.busy == nil; got {
				a.m.busy = a
			}
		}); err != nil || got {
			return a.unlock, err
		}
		if pause(ctx, lockPause); ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

func (a *agent) unlock() {
	a.m.Lock()
	defer a.m.Unlock()
	if a.m.busy == a {
		a.m.busy = nil
	}
}

const lockPause = 20 * time.Millisecond

// Ready is nil while the process lives.
func (c *command) Ready(context.Context) error { return c.do(func() {}) }

// Interfaces are those of the machine.
func (c *command) Interfaces(ctx context.Context) ([]host.Interface, error) {
	return c.agent.Interfaces(ctx)
}

// Neighbours are those of the machine.
func (c *command) Neighbours(ctx context.Context, iface string, addrs []netip.Addr) (map[netip.Addr]string, error) {
	return c.agent.Neighbours(ctx, iface, addrs)
}

// HearsRouter hears the machine's network.
func (c *command) HearsRouter(ctx context.Context, iface string, ids []vrrp.Identity, from []netip.Prefix, wait time.Duration) (bool, error) {
	return c.agent.HearsRouter(ctx, iface, ids, from, wait)
}

// VRRP is that of the machine's keepalived.
func (c *command) VRRP(ctx context.Context, pid int) ([]host.Instance, error) {
	return c.agent.VRRP(ctx, pid)
}

// File is a file, with the time of its change.
func (c *command) File(ctx context.Context, path string) (f host.File, err error) {
	return f, errors.Join(c.do(func() {
		switch path {
		case state.FormerFile:
			f = host.File{Path: path, Exists: c.m.former != nil, Data: c.m.former, Mode: 0o600}
			return
		case state.GuardFile:
			f = host.File{Path: path, Exists: true, Mode: 0o600}
			f.Data, err = json.Marshal(c.m.told())
			return
		}
		if f, err = c.m.files.File(ctx, path); f.Exists {
			f.Changed = c.m.began.Add(-time.Hour)
			if at, known := c.m.changed[path]; known {
				f.Changed = at
			}
		}
	}), err)
}

// Unit is a unit, which takes no time here: others wait for the answer too.
func (c *command) Unit(ctx context.Context, name string) (u host.Unit, err error) {
	return u, errors.Join(c.do(func() {
		u, err = c.m.files.Unit(ctx, name)
		switch m := c.m; name {
		case host.KeepalivedUnit:
			now := m.keepalived.facts(name)
			u.ActiveState, u.MainPID, u.ActiveSince, u.InvocationID = now.ActiveState, now.MainPID, now.ActiveSince, strconv.Itoa(now.MainPID)
			u.SubState, u.CommandLine = "running", nil
			if u.MainPID == 0 && u.ActiveState == "activating" {
				u.SubState = "auto-restart"
			}
		case host.RejoinUnit:
			u.ActiveState = map[bool]string{true: "active", false: "inactive"}[m.rejoin != nil]
		}
	}), err)
}

// WriteFile writes a file; keepalived tracks one.
func (c *command) WriteFile(ctx context.Context, path string, data []byte, mode fs.FileMode, uid, gid int) error {
	if path != render.DrainFile {
		c.spend(ctx, quickly, 2*time.Millisecond)
	}
	return c.change(func(h *fake.Host) error {
		if m := c.m; path == render.DrainFile {
			m.drain = string(data) == render.TrackedText(true)
			m.soon(100*time.Microsecond, time.Millisecond, m.keepalived.wake)
		}
		if path == state.FormerFile {
			c.m.former = bytes.Clone(data)
			return nil
		}
		c.m.changed[path] = time.Now()
		return h.WriteFile(ctx, path, data, mode, uid, gid)
	})
}

// RemoveFile removes a file.
func (c *command) RemoveFile(ctx context.Context, path string) error {
	c.spend(ctx, quickly/4, quickly)
	return c.change(func(h *fake.Host) error {
		if path == state.FormerFile {
			c.m.former = nil
			return nil
		}
		return h.RemoveFile(ctx, path)
	})
}

// change changes what is in memory.
func (c *command) change(do func(*fake.Host) error) (err error) {
	return errors.Join(c.do(func() { err = do(c.m.files) }), err)
}

// StartUnit starts a unit, and waits for keepalived.
func (c *command) StartUnit(ctx context.Context, name string) error {
	c.spend(ctx, quickly, c.systemd())
	if name != host.KeepalivedUnit {
		return c.change(func(h *fake.Host) error { return h.StartUnit(ctx, name) })
	}
	if err := c.do(func() {
		c.m.keepalived.kept = false
		c.m.keepalived.start()
	}); err != nil {
		return err
	}
	return c.await(ctx, "active")
}

// StopUnit stops a unit, and waits for keepalived.
func (c *command) StopUnit(ctx context.Context, name string) error {
	c.spend(ctx, quickly, c.systemd())
	switch name {
	case host.RejoinUnit:
		return c.do(c.m.endRejoin)
	case host.KeepalivedUnit:
		return errors.Join(c.do(c.m.keepalived.stop), c.await(ctx, "inactive"))
	}
	return c.change(func(h *fake.Host) error { return h.StopUnit(ctx, name) })
}

// await waits until keepalived is active, or inactive.
func (c *command) await(ctx context.Context, state string) error {
	for range 1000 {
		now := ""
		if err := c.do(func() { now = c.m.keepalived.state }); err != nil {
			return err
		}
		switch {
		case now == state:
			return nil
		case now == "failed" || now == "inactive":
			return errors.New("cannot start keepalived.service: it is " + now)
		}
		c.spend(ctx, quickly, 5*time.Millisecond)
	}
	return errors.New("cannot wait for keepalived.service any longer")
}

// RestartUnit restarts a unit.
func (c *command) RestartUnit(ctx context.Context, name string) error {
	return errors.Join(c.StopUnit(ctx, name), c.StartUnit(ctx, name))
}

// ReloadUnit reloads a unit.
func (c *command) ReloadUnit(ctx context.Context, name string) error {
	c.spend(ctx, quickly, c.systemd())
	if name == host.KeepalivedUnit {
		return c.do(c.m.keepalived.reload)
	}
	return c.change(func(h *fake.Host) error { return h.ReloadUnit(ctx, name) })
}

// RunDetached starts the process that waits (rejoin).
func (c *command) RunDetached(ctx context.Context, _ string, _ ...string) error {
	c.spend(ctx, quickly, c.systemd())
	return c.do(c.m.startRejoin)
}

// routerID is what keepalived's file says.
func (m *machine) routerID() int {
	for line := range strings.Lines(m.files.Text(render.DefaultKeepalivedConfig)) {
		if words := strings.Fields(line); len(words) == 2 && words[0] == "virtual_router_id" {
			id, _ := strconv.Atoi(words[1])
			return id
		}
	}
	return 0
}

// release is the end of a process, which may hold the lock. It may look at the files yet: those that others change are a
// copy.
func (m *machine) release(a *agent) {
	if m.busy == a {
		m.busy, m.files = nil, m.files.Clone()
	}
}
