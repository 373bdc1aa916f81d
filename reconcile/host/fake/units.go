package fake

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
)

const unitDir = "/etc/systemd/system/"

// services holds the environments of the units that packages install.
var services = map[string]map[string]string{
	"haproxy": {
		"CONFIG": render.DefaultHAProxyConfig, "PIDFILE": "/run/haproxy.pid", "EXTRAOPTS": "-S /run/haproxy-master.sock",
	},
	"keepalived": {},
}

// unit is a systemd unit.
type unit struct {
	name       string
	enabled    bool
	masked     string // "masked", "masked-runtime" or ""
	active     bool
	failed     bool
	died       time.Time // by the test's clock
	pid        int
	runs       int // number of starts
	invocation string
	since      time.Time
	replaced   bool   // its program was upgraded after the start
	config     string // path that the running process was started with
	loaded     string // content that the process last read
	workers    host.Workers
	servers    []server // HAProxy's servers as they run
}

// unit returns the unit of that name, and creates it if needed.
func (h *Host) unit(name string) *unit {
	if h.units[name] == nil {
		h.units[name] = &unit{name: name}
	}
	return h.units[name]
}

// seen returns the unit of that name without creating it, because observers can run concurrently.
func (h *Host) seen(name string) *unit {
	return cmp.Or(h.units[name], &unit{name: name})
}

func (h *Host) hasUnitFile(name string) bool {
	base, _ := strings.CutSuffix(name, ".service")
	_, service := services[base]
	_, written := h.files[unitDir+name]
	return service && h.Installed(base) != "" || written
}

// Unit returns the state of a unit.
func (h *Host) Unit(ctx context.Context, name string) (host.Unit, error) {
	if err := h.look(ctx, "Unit"); err != nil {
		return host.Unit{}, err
	}
	u := h.seen(name)
	state := host.Unit{Name: name, LoadState: "loaded", ActiveState: "inactive", SubState: "dead", InvocationID: u.invocation}
	switch {
	case u.masked != "":
		state.LoadState, state.UnitFileState = "masked", u.masked
	case !h.hasUnitFile(name):
		state.LoadState = "not-found"
	case u.enabled:
		state.UnitFileState = "enabled"
	default:
		state.UnitFileState = "disabled"
	}
	switch {
	case u.active && u.pid == 0:
		state.ActiveState, state.SubState, state.ActiveSince = "active", "exited", u.since
	case u.active:
		state.ActiveState, state.SubState, state.ActiveSince, state.MainPID = "active", "running", u.since, u.pid
		if u.config != "" {
			state.CommandLine = []string{"/usr/sbin/" + strings.TrimSuffix(u.name, ".service"), "-f", u.config}
		}
	case u.failed:
		state.ActiveState, state.SubState, state.Died = "failed", "failed", u.died
	}
	if state.Replaced = u.active && u.replaced; u.active {
		state.Says = h.Says[name]
	}
	state.NeedDaemonReload = h.stale(name)
	if state.LoadState == "loaded" {
		state.Environment = h.environment(name)
	}
	return state, nil
}

// environment returns the environment of a package's unit, including its file in /etc/default.
func (h *Host) environment(name string) map[string]string {
	base, _ := strings.CutSuffix(name, ".service")
	all := maps.Clone(services[base])
	for line := range strings.Lines(h.Text("/etc/default/" + base)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && all != nil {
			all[key] = strings.Trim(value, `"'`)
		}
	}
	return all
}

// stale says whether unit files changed since systemd read them. systemd reads a new unit when it first needs it.
func (h *Host) stale(name string) bool {
	for path, known := range h.manager {
		if ofUnit(path, name) && h.Text(path) != known {
			return true
		}
	}
	for path := range h.files {
		if _, known := h.manager[path]; strings.HasPrefix(path, unitDir+name+".d/") && !known && h.hasUnitFile(name) {
			return true
		}
	}
	return false
}

func ofUnit(path, name string) bool {
	return path == unitDir+name || strings.HasPrefix(path, unitDir+name+".d/")
}

func (h *Host) readUnits() {
	h.manager = map[string]string{}
	for path, f := range h.files {
		if strings.HasPrefix(path, unitDir) {
			h.manager[path] = string(f.Data)
		}
	}
}

// MaskUnit prevents a unit from starting until a reboot.
func (h *Host) MaskUnit(ctx context.Context, name string) error {
	return h.effect(ctx, "MaskUnit", name, func() error {
		if u := h.unit(name); u.masked == "" {
			u.masked = "masked-runtime"
		}
		return nil
	})
}

// MaskForGood masks a unit as an administrator does with systemctl mask.
func (h *Host) MaskForGood(name string) { h.unit(name).masked = "masked" }

// UnmaskUnit removes both kinds of mask.
func (h *Host) UnmaskUnit(ctx context.Context, name string) error {
	return h.effect(ctx, "UnmaskUnit", name, func() error { h.unit(name).masked = ""; return nil })
}

// EnableUnit makes a unit start at boot. Its file must exist.
func (h *Host) EnableUnit(ctx context.Context, name string) error {
	return h.effect(ctx, "EnableUnit", name, func() error {
		u := h.unit(name)
		if !h.hasUnitFile(name) || u.masked != "" {
			return fmt.Errorf("cannot enable %s: Unit file %s does not exist, or is masked", name, name)
		}
		if !u.enabled {
			u.enabled = true
			h.readUnits()
		}
		return nil
	})
}

// DisableUnit makes a unit not start at boot. If its file is already gone, the old link stays, as with systemd.
func (h *Host) DisableUnit(ctx context.Context, name string) error {
	return h.effect(ctx, "DisableUnit", name, func() error {
		if u := h.unit(name); h.hasUnitFile(name) && u.enabled {
			u.enabled = false
			h.readUnits()
		}
		return nil
	})
}

// ReloadManager makes systemd read its unit files.
func (h *Host) ReloadManager(ctx context.Context) error {
	return h.effect(ctx, "ReloadManager", "", func() error { h.readUnits(); return nil })
}

// StartUnit starts a unit.
func (h *Host) StartUnit(ctx context.Context, name string) error {
	return h.effect(ctx, "StartUnit", name, func() error { return h.start(h.unit(name)) })
}

// StopUnit stops a unit.
func (h *Host) StopUnit(ctx context.Context, name string) error {
	return h.effect(ctx, "StopUnit", name, func() error { h.stop(h.unit(name)); return nil })
}

// RestartUnit restarts a unit.
func (h *Host) RestartUnit(ctx context.Context, name string) error {
	return h.effect(ctx, "RestartUnit", name, func() error {
		h.stop(h.unit(name))
		return h.start(h.unit(name))
	})
}

// ReloadUnit makes a running unit read its configuration.
func (h *Host) ReloadUnit(ctx context.Context, name string) error {
	return h.effect(ctx, "ReloadUnit", name, func() error { return h.reload(h.unit(name)) })
}

// Crash ends a unit's process, and nothing starts it again.
func (h *Host) Crash(name string) {
	h.stop(h.unit(name))
	h.unit(name).failed = true
	h.unit(name).died = time.Now()
}

// Reboot is like a power cut: /run and the firewall are empty, then systemd starts the enabled units.
func (h *Host) Reboot() {
	h.ticks += 30
	for path := range h.files {
		if strings.HasPrefix(path, "/run/") {
			delete(h.files, path)
		}
	}
	h.tables = map[api.Family]table{api.IPv4: newTable(), api.IPv6: newTable()}
	h.kernel = kernel{}
	h.readUnits()
	for _, u := range h.units {
		mask := u.masked
		if mask == "masked-runtime" {
			mask = ""
		}
		*u = unit{name: u.name, enabled: u.enabled, masked: mask, runs: u.runs}
	}
	for _, name := range []string{render.FirewallUnit, render.HandoverUnit, host.HAProxyUnit, host.KeepalivedUnit} {
		if u := h.unit(name); u.enabled && h.hasUnitFile(name) {
			_ = h.start(u)
		}
	}
}

// RunDetached marks the unit as running, and records the command.
func (h *Host) RunDetached(ctx context.Context, unit string, args ...string) error {
	return h.effect(ctx, "RunDetached", unit, func() error {
		if u := h.unit(unit); !u.active {
			u.active, u.pid = true, h.next()
			h.Detached = append(h.Detached, strings.Join(args, " "))
		}
		return nil
	})
}
