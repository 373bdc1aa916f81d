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

// command is the host.Host for a process of the agent that changes the host. Files and packages come from the fake host,
// keepalived and the network from the machine. On the fake host HAProxy always runs, because only failover reacts to the faults
// of HAProxy. Only the process that holds the machine's lock changes the files.
type command struct {
	*fake.Host
	*agent // the process that the command runs in
}

var _ failover.RejoinHost = (*command)(nil)

// commandOf returns a command that runs in a process. The caller holds the world's lock.
func commandOf(a *agent) *command { return &command{a.m.files, a} }

// lock waits until no other process holds the lock, and takes it, as flock(2) does for /run/rlb/lock.
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

// Ready returns nil while the process lives.
func (c *command) Ready(context.Context) error { return c.do(func() {}) }

// Interfaces returns the interface of the machine.
func (c *command) Interfaces(ctx context.Context) ([]host.Interface, error) {
	return c.agent.Interfaces(ctx)
}

// Neighbours asks on the machine's network.
func (c *command) Neighbours(ctx context.Context, iface string, addrs []netip.Addr) (map[netip.Addr]string, error) {
	return c.agent.Neighbours(ctx, iface, addrs)
}

// HearsRouter listens on the machine's network.
func (c *command) HearsRouter(ctx context.Context, iface string, ids []vrrp.Identity, from []netip.Prefix, wait time.Duration) (bool, error) {
	return c.agent.HearsRouter(ctx, iface, ids, from, wait)
}

// VRRP asks the machine's keepalived for its state.
func (c *command) VRRP(ctx context.Context, pid int) ([]host.Instance, error) {
	return c.agent.VRRP(ctx, pid)
}

// File returns a file with the time of its last change.
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

// Unit returns the state of a unit. It takes no time, because the calls that start and stop units wait for systemd already.
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

// WriteFile writes a file. keepalived notices a change of the drain file.
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

// change changes the fake host.
func (c *command) change(do func(*fake.Host) error) (err error) {
	return errors.Join(c.do(func() { err = do(c.m.files) }), err)
}

// StartUnit starts a unit. For keepalived it waits until the unit is active.
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

// StopUnit stops a unit. For keepalived it waits until the unit is inactive.
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

// await waits until keepalived's unit is in a state.
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

// RunDetached starts the rejoin process.
func (c *command) RunDetached(ctx context.Context, _ string, _ ...string) error {
	c.spend(ctx, quickly, c.systemd())
	return c.do(c.m.startRejoin)
}

// routerID returns the virtual router id in keepalived's file, or 0.
func (m *machine) routerID() int {
	for line := range strings.Lines(m.files.Text(render.DefaultKeepalivedConfig)) {
		if words := strings.Fields(line); len(words) == 2 && words[0] == "virtual_router_id" {
			id, _ := strconv.Atoi(words[1])
			return id
		}
	}
	return 0
}

// release releases the lock of a process that has ended, if it holds it. The process may still read the files, so other
// processes get a copy.
func (m *machine) release(a *agent) {
	if m.busy == a {
		m.busy, m.files = nil, m.files.Clone()
	}
}
