package debian

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/haproxy"
	"rlb.dev/rlb-agent/render"
)

// Workers returns HAProxy's processes as its master reports them. If the master is in the middle of a reload, Workers waits
// for it.
func (h *Host) Workers(ctx context.Context, masterSocket string) (host.Workers, error) {
	return haproxy.Workers(ctx, masterSocket)
}

// Servers returns the states of the servers of all backends.
func (h *Host) Servers(ctx context.Context) ([]host.ServerState, error) {
	return haproxy.Servers(ctx, render.StatsSocket)
}

// RunningServers returns the servers of all backends as HAProxy runs them.
func (h *Host) RunningServers(ctx context.Context) ([]host.RunningServer, error) {
	return haproxy.RunningServers(ctx)
}

// Runtime sends HAProxy one command of its runtime API. The error has HAProxy's words.
func (h *Host) Runtime(ctx context.Context, command string) error {
	return h.effect.Do("Runtime "+command, func() error { return haproxy.Runtime(ctx, command) })
}

// CutSessions closes the connections with a server, also those of old workers.
func (h *Host) CutSessions(ctx context.Context, backend, server string) error {
	return h.effect.Do("CutSessions "+backend+"/"+server, func() error {
		unit, err := h.Unit(ctx, host.HAProxyUnit)
		if err != nil {
			unit = host.Unit{} // the current worker has most of them, and its own socket
		}
		return errors.Join(err, haproxy.CutSessions(ctx, unit.MasterSocket(), backend, server))
	})
}

// CutOldSessions closes the connections of old workers with these servers ("backend/server").
func (h *Host) CutOldSessions(ctx context.Context, servers []string) (cut int, err error) {
	err = h.effect.Do(fmt.Sprintf("CutOldSessions of %d servers", len(servers)), func() error {
		unit, err := h.Unit(ctx, host.HAProxyUnit)
		if err == nil {
			cut, err = haproxy.CutOldSessions(ctx, unit.MasterSocket(), servers)
		}
		return err
	})
	return cut, err
}

// HAProxyAnswers says whether HAProxy answers at once, as a healthy one does. False proves nothing yet.
func (h *Host) HAProxyAnswers() bool { return haproxy.AnswersAtOnce() }

// HAProxyServes says whether HAProxy answers on its runtime API within 150 ms.
func (h *Host) HAProxyServes(ctx context.Context) bool { return haproxy.Serves(ctx) }

// ProbeHAProxy asks HAProxy whether it accepts and answers, see haproxy.Probe. With haste, HAProxy is hung already after
// 120 ms if it is silent on both sockets, is idle, and this process was not stalled. In all other cases the usual probe
// with its usual time limits follows.
func (h *Host) ProbeHAProxy(ctx context.Context, haste bool) host.HAProxyState {
	if haste {
		if state := haproxy.ProbeHastily(ctx, func() bool { return h.idle(ctx, host.HAProxyUnit, "RD") }); state != "" {
			return state
		}
	}
	return haproxy.Probe(ctx, func() bool { return h.idle(ctx, host.HAProxyUnit, "R") })
}

// systemdPatience is how long idle waits for systemd, which a busy machine delays too.
const systemdPatience = time.Second

// idle says that no thread of a unit is in one of these states (proc_pid_stat(5)): R means that it runs on a core or waits
// for one, D that it waits for a disk. The unit is then stopped or stuck, and not busy. A unit whose state is not readable
// is not idle.
func (h *Host) idle(ctx context.Context, unit, states string) bool {
	ctx, cancel := context.WithTimeout(ctx, systemdPatience)
	defer cancel()
	state, err := h.Unit(ctx, unit)
	if err != nil || state.MainPID == 0 {
		return false
	}
	children, _ := h.children(state.MainPID)
	return !h.anyIn(states, append(children, state.MainPID)...)
}

// anyIn says whether a thread of one of these processes is in one of these states.
func (h *Host) anyIn(states string, pids ...int) bool {
	for _, pid := range pids {
		threads, _ := filepath.Glob(filepath.Join(h.proc, strconv.Itoa(pid), "task", "*", "stat"))
		for _, path := range threads {
			if fields := procStat(path); len(fields) > 0 && strings.Contains(states, fields[0]) {
				return true
			}
		}
	}
	return false
}
