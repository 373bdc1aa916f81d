package debian

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"

	"rlb.dev/rlb-agent/reconcile/host"
)

// manager is the connection to systemd, made when first needed and made anew once it is lost. It does not end with
// any caller's context.
func (h *Host) manager() (*dbus.Conn, error) {
	h.busMutex.Lock()
	defer h.busMutex.Unlock()
	if h.bus != nil && h.bus.Connected() {
		return h.bus, nil
	}
	if h.bus != nil {
		h.bus.Close()
		h.bus = nil
	}
	bus, err := dialManager(context.Background())
	if err != nil {
		return nil, host.Unavailable("cannot reach systemd: "+err.Error(), err)
	}
	h.bus = bus
	return bus, nil
}

// dialManager connects to systemd: root by systemd's own socket, where also the results of jobs cannot be forged (see
// systemdSocket). Others may only ask, on the system bus; an answer there comes from who was asked.
func dialManager(ctx context.Context) (*dbus.Conn, error) {
	if os.Geteuid() == 0 {
		return dbus.NewSystemdConnectionContext(ctx)
	}
	return dbus.NewSystemConnectionContext(ctx)
}

// systemdError is "cannot DO: systemd's own words"; a bus without systemd makes it unavailable.
func systemdError(do string, err error) error {
	wrapped := fmt.Errorf("cannot %s: %w", do, err)
	if isBusError(err, "org.freedesktop.DBus.Error.ServiceUnknown") {
		return host.Unavailable(wrapped.Error(), wrapped)
	}
	return wrapped
}

func isBusError(err error, names ...string) bool {
	busErr, ok := errors.AsType[godbus.Error](err)
	return ok && slices.Contains(names, busErr.Name)
}

// Unit is the state of a systemd unit.
func (h *Host) Unit(ctx context.Context, name string) (host.Unit, error) {
	p, err := h.properties(ctx, name)
	if err != nil {
		return host.Unit{}, err
	}
	unit := host.Unit{
		Name:             name,
		LoadState:        p.text("LoadState"),
		ActiveState:      p.text("ActiveState"),
		SubState:         p.text("SubState"),
		UnitFileState:    p.text("UnitFileState"),
		NeedDaemonReload: p.bool("NeedDaemonReload"),
		MainPID:          p.int("MainPID"),
		Replaced:         h.replaced(p.int("MainPID")),
		CommandLine:      h.commandLine(p.int("MainPID")),
		Restarts:         p.int("NRestarts"),
		InvocationID:     p.hex("InvocationID"),
	}
	if unit.Active() {
		unit.ActiveSince = p.time("ActiveEnterTimestamp")
	} else if result := p.text("Result"); unit.MainPID == 0 && result != "" && result != "success" {
		unit.Died = p.time("ExecMainExitTimestamp")
	}
	unit.Environment, err = unitEnvironment(p.texts("Environment"), p.environmentFiles())
	return unit, err
}

// properties are all of a unit's.
func (h *Host) properties(ctx context.Context, name string) (properties, error) {
	do := "look at " + name
	bus, err := h.manager()
	if err != nil {
		return nil, wrapUnavailable(do, err)
	}
	all, err := bus.GetAllPropertiesContext(ctx, name)
	if err != nil {
		return nil, systemdError(do, err)
	}
	return all, nil
}

func wrapUnavailable(do string, err error) error {
	text := "cannot " + do + ": " + strings.TrimPrefix(err.Error(), "cannot ")
	return host.Unavailable(text, err)
}

// properties are a unit's properties as they come from D-Bus. A property that is not there is zero.
type properties map[string]any

func (p properties) text(name string) string { s, _ := p[name].(string); return s }

func (p properties) texts(name string) []string { s, _ := p[name].([]string); return s }

func (p properties) bool(name string) bool { b, _ := p[name].(bool); return b }

func (p properties) int(name string) int { n, _ := p[name].(uint32); return int(n) }

func (p properties) hex(name string) string { b, _ := p[name].([]byte); return hex.EncodeToString(b) }

func (p properties) time(name string) time.Time {
	µs, _ := p[name].(uint64)
	if µs == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(µs))
}

// environmentFiles are of type a(sb): path, and whether it may be missing.
func (p properties) environmentFiles() []environmentFile {
	pairs, _ := p["EnvironmentFiles"].([][]any)
	var files []environmentFile
	for _, pair := range pairs {
		if len(pair) != 2 {
			continue
		}
		path, _ := pair[0].(string)
		optional, _ := pair[1].(bool)
		files = append(files, environmentFile{path: path, optional: optional})
	}
	return files
}

// commandLine is that of a process, or nil.
func (h *Host) commandLine(pid int) []string {
	if pid == 0 {
		return nil
	}
	data, err := os.ReadFile(filepath.Join(h.proc, strconv.Itoa(pid), "cmdline"))
	if err != nil || len(data) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
}
