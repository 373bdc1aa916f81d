package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// A fault is made on the active host while a client is served.
type fault struct {
	name, title string
	before      func(ctx context.Context, t *trial) error // the preparation, before the client is measured
	inject      func(ctx context.Context, t *trial) error
	over        func(t *trial) bool // the end of the fault, in addition to a client that is served again
	watch       time.Duration       // the shortest time to watch, for late effects
	loaded      bool                // under many connections a second
	long        int                 // with this many long idle connections
	once        bool                // it consists of many faults already
	endless     bool                // only an agent that runs as a daemon ends it
	daemon      bool                // only if the agent runs as a daemon
}

// bound is how long a fault may last before it counts as endless.
const bound = 6 * time.Second

func names() (names []string) {
	for _, f := range faults {
		names = append(names, f.name)
	}
	return names
}

// on runs a command on the active host.
func on(args ...string) func(context.Context, *trial) error {
	return func(ctx context.Context, t *trial) error {
		_, err := t.active.Run(ctx, args...)
		return err
	}
}

// moved reports that only the other host has the virtual IP.
func moved(t *trial) bool { return pair.Holds(t.standby) && !pair.Holds(t.active) }

var faults = []fault{
	{name: "keepalived-stop", title: "keepalived stopped", inject: on("systemctl", "--no-block", "stop", "keepalived"), over: moved},
	{name: "keepalived-kill", title: "keepalived killed", inject: on("systemctl", "kill", "-s", "KILL", "keepalived"), over: moved, endless: true},
	{name: "haproxy-stop", title: "HAProxy stopped", inject: on("systemctl", "--no-block", "stop", "haproxy"), over: moved},
	{name: "haproxy-kill", title: "HAProxy killed", inject: on("systemctl", "kill", "-s", "KILL", "haproxy"), watch: time.Second},
	{name: "haproxy-hang", title: "HAProxy hung", inject: on("systemctl", "kill", "-s", "STOP", "haproxy"), over: moved, endless: true},
	{name: "agent-kill", title: "agent killed", inject: on("systemctl", "kill", "-s", "KILL", "rlb-agent"), watch: 1500 * time.Millisecond, daemon: true},
	{name: "link-cut", title: "link cut", inject: func(_ context.Context, t *trial) error { return t.active.CutLink() }, over: moved},
	{name: "crash", title: "host crash", inject: func(_ context.Context, t *trial) error { t.active.Crash(); return nil }, over: moved},
	{name: "reboot", title: "reboot of the active", inject: func(ctx context.Context, t *trial) error { return t.active.Reboot(ctx) }, over: moved},
	{name: "drain", title: "drain", inject: drain, over: moved},
	{name: "nothing", title: "nothing, under load", inject: func(context.Context, *trial) error { return nil }, watch: 5 * time.Second, loaded: true},
	{name: "reload", title: "HAProxy reloaded", inject: on("systemctl", "reload", "haproxy"), watch: 300 * time.Millisecond, loaded: true},
	{name: "edit", title: "spec edited", inject: edit, over: edited, watch: 500 * time.Millisecond, loaded: true},
	{name: "reloads", title: "100 reloads", inject: reloads, watch: 300 * time.Millisecond, loaded: true, long: 500, once: true},
	// the last one: with classic the client may send to the wrong host for the virtual IP from then on
	{name: "heal", title: "partition healed", before: part, inject: func(_ context.Context, t *trial) error { return t.Heal() },
		over: func(t *trial) bool { return pair.Holds(t.active) != pair.Holds(t.standby) }, watch: 500 * time.Millisecond},
}

// part partitions the hosts and waits until both have the virtual IP.
func part(ctx context.Context, t *trial) error {
	if err := t.Partition(t.hosts[0], t.hosts[1]); err != nil {
		return err
	}
	return lab.Until(ctx, bound, func() bool { return pair.Holds(t.active) && pair.Holds(t.standby) })
}

// drain moves the virtual IP to the peer. Without nodes in the spec the agent knows no peer, and needs --force.
func drain(ctx context.Context, t *trial) error {
	args := []string{pair.Agent, "drain"}
	if !t.setup.daemon {
		args = append(args, "--force")
	}
	return on(args...)(ctx, t)
}

// edit changes the spec on both hosts. The original has no daemon, so the agent is run by hand.
func edit(ctx context.Context, t *trial) error {
	t.edits++
	if err := pair.Each(t.hosts, func(h *lab.Host) error {
		return h.WriteFile(pair.SpecFile, []byte(t.setup.specOf(t.edits)), 0o644)
	}); err != nil || t.setup.daemon {
		return err
	}
	for _, h := range []*lab.Host{t.standby, t.active} {
		if _, err := h.Run(ctx, pair.Agent, "--once"); err != nil {
			return err
		}
	}
	return nil
}

func edited(t *trial) bool {
	for _, h := range t.hosts {
		if file, err := h.ReadFile(haproxy); err != nil || !strings.Contains(string(file), fmt.Sprintf(" weight %d", 100+t.edits%100)) {
			return false
		}
	}
	return true
}

func reloads(ctx context.Context, t *trial) error {
	for range 100 {
		if err := on("systemctl", "reload", "haproxy")(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// times returns how often to make the fault.
func (f fault) times(n int, s setup) int {
	switch {
	case f.once:
		return 1
	case f.endless && !s.daemon:
		return min(n, 3)
	}
	return n
}

// lacks returns why a fault cannot be made on a pair; "" if it can.
func (p *bench) lacks(ctx context.Context, f fault) string {
	switch {
	case f.daemon && !p.setup.daemon:
		return "no agent runs all the time"
	case f.name == "drain":
		if out, _ := p.hosts[0].Run(ctx, pair.Agent, "help"); !strings.Contains(out, "undrain") {
			return "this agent has no such command"
		}
	}
	return ""
}
