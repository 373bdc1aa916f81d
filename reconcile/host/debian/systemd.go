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

// manager is the connection for jobs, made when first needed and made anew once it is lost. It does not end with any
// caller's context.
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
	bus, err := dbus.NewConnection(h.dial)
	if err != nil {
		return nil, unreachable(err)
	}
	h.bus = bus
	return bus, nil
}

// asking is the connection for questions. It is closed where one is not answered, which must not end a job.
func (h *Host) asking() (*godbus.Conn, error) {
	h.busMutex.Lock()
	defer h.busMutex.Unlock()
	if h.asks != nil && h.asks.Connected() {
		return h.asks, nil
	}
	asks, err := h.dial()
	if err != nil {
		return nil, unreachable(err)
	}
	h.asks = asks
	return asks, nil
}

func unreachable(err error) error {
	return host.Unavailable("cannot reach systemd: "+err.Error(), err)
}

// dialSystemd connects to systemd: root by systemd's own socket, where also the results of jobs cannot be forged (see
// systemdSocket). Others may only ask, on the system bus; an answer there comes from who was asked.
func dialSystemd() (*godbus.Conn, error) {
	user := godbus.AuthExternal(strconv.Itoa(os.Geteuid()))
	if os.Geteuid() != 0 {
		return godbus.ConnectSystemBus(godbus.WithAuth(user))
	}
	systemd, err := godbus.Dial(systemdSocket)
	if err != nil {
		return nil, err
	}
	if err := systemd.Auth([]godbus.Auth{user}); err != nil {
		_ = systemd.Close() // nothing was said yet
		return nil, err
	}
	return systemd, nil
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
		Says:             p.text("StatusText"),
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

// properties are all of a unit's, at one moment. go-systemd would copy the hundreds of them twice.
func (h *Host) properties(ctx context.Context, name string) (properties, error) {
	do := "look at " + name
	asks, err := h.asking()
	if err != nil {
		return nil, wrapUnavailable(do, err)
	}
	answer, err := h.read(ctx, asks, unitPath(name), "GetAll", "")
	if err != nil {
		return nil, systemdError(do, err)
	}
	all, _ := answer.(map[string]godbus.Variant)
	return all, nil
}

// property is one property of one of systemd's objects; nil where it has none of that type.
func (h *Host) property(ctx context.Context, at godbus.ObjectPath, of, name string) (any, error) {
	asks, err := h.asking()
	if err != nil {
		return nil, err
	}
	answer, err := h.read(ctx, asks, at, "Get", "org.freedesktop.systemd1."+of, name)
	value, _ := answer.(godbus.Variant)
	return value.Value(), err
}

const (
	answerTime = 10 * time.Second      // in which systemd answers a question, also while it starts much
	firstPing  = 25 * time.Millisecond // after a question; the next one comes after twice that, and so on
)

// read asks one of systemd's objects for properties, by a method of org.freedesktop.DBus.Properties. Where no answer
// comes in time, the connection is closed, and the next question makes another one.
func (h *Host) read(ctx context.Context, asks *godbus.Conn, at godbus.ObjectPath, method string, args ...any) (answer any, err error) {
	inTime, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	object := asks.Object("org.freedesktop.systemd1", at)
	go ping(inTime, object)
	call := object.CallWithContext(inTime, "org.freedesktop.DBus.Properties."+method, 0, args...)
	switch {
	case call.Err != nil && inTime.Err() != nil && ctx.Err() == nil:
		_ = asks.Close()
		return nil, fmt.Errorf("systemd does not answer within %v", answerTime)
	case call.Err == nil && len(call.Body) == 1:
		answer = call.Body[0]
	}
	return answer, call.Err
}

// ping sends systemd messages that need no answer, until ctx ends. systemd 252 may read a connection's first question
// together with the end of its authentication; it then looks at the question only when it reads a further message.
func ping(ctx context.Context, object godbus.BusObject) {
	for pause := firstPing; ; pause *= 2 {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
			object.Go("org.freedesktop.DBus.Peer.Ping", godbus.FlagNoReplyExpected, nil)
		}
	}
}

func unitPath(name string) godbus.ObjectPath {
	return unitsPath + godbus.ObjectPath(dbus.PathBusEscape(name))
}

func wrapUnavailable(do string, err error) error {
	text := "cannot " + do + ": " + strings.TrimPrefix(err.Error(), "cannot ")
	return host.Unavailable(text, err)
}

// properties are a unit's properties as they come from D-Bus. A property that is not there is zero.
type properties map[string]godbus.Variant

func (p properties) text(name string) string { s, _ := p[name].Value().(string); return s }

func (p properties) texts(name string) []string { s, _ := p[name].Value().([]string); return s }

func (p properties) bool(name string) bool { b, _ := p[name].Value().(bool); return b }

func (p properties) int(name string) int { n, _ := p[name].Value().(uint32); return int(n) }

func (p properties) hex(name string) string {
	b, _ := p[name].Value().([]byte)
	return hex.EncodeToString(b)
}

func (p properties) time(name string) time.Time {
	µs, _ := p[name].Value().(uint64)
	if µs == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(µs))
}

// environmentFiles are of type a(sb): path, and whether it may be missing.
func (p properties) environmentFiles() []environmentFile {
	pairs, _ := p["EnvironmentFiles"].Value().([][]any)
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
