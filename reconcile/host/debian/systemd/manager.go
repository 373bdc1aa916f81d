// Package systemd talks to the systemd of this machine by D-Bus: it reads the properties of units, starts jobs, and watches
// for changes of units.
package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"

	"rlb.dev/rlb-agent/reconcile/host"
)

// Manager holds the connections to systemd. It is safe for concurrent use.
type Manager struct {
	dial  func() (*godbus.Conn, error)
	mutex sync.Mutex
	bus   *dbus.Conn   // for jobs; nil until needed
	asks  *godbus.Conn // for queries; nil until needed
}

// New returns a Manager that connects at its first use with dial. dial is Dial, except in tests.
func New(dial func() (*godbus.Conn, error)) *Manager { return &Manager{dial: dial} }

// Close closes the connections.
func (m *Manager) Close() {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.bus != nil {
		m.bus.Close()
		m.bus = nil
	}
	if m.asks != nil {
		_ = m.asks.Close() // all answers have arrived, or no caller waits for them
		m.asks = nil
	}
}

// Jobs returns the connection for jobs. It connects at the first call, and again after a loss. The connection does not end
// with any caller's context.
func (m *Manager) Jobs() (*dbus.Conn, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.bus != nil && m.bus.Connected() {
		return m.bus, nil
	}
	if m.bus != nil {
		m.bus.Close()
		m.bus = nil
	}
	bus, err := dbus.NewConnection(m.dial)
	if err != nil {
		return nil, unreachable(err)
	}
	m.bus = bus
	return bus, nil
}

// asking returns the connection for queries. It is closed if a query is not answered; jobs have their own connection, which
// must not end with it.
func (m *Manager) asking() (*godbus.Conn, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.asks != nil && m.asks.Connected() {
		return m.asks, nil
	}
	asks, err := m.dial()
	if err != nil {
		return nil, unreachable(err)
	}
	m.asks = asks
	return asks, nil
}

func unreachable(err error) error {
	return host.Unavailable("cannot reach systemd: "+err.Error(), err)
}

// Dial connects to systemd. Root uses systemd's own socket, on which the results of jobs cannot be forged either (see
// socket). Other users can only query, on the system bus; there an answer comes from the queried program.
func Dial() (*godbus.Conn, error) {
	if os.Geteuid() != 0 {
		return godbus.ConnectSystemBus(godbus.WithAuth(godbus.AuthExternal(strconv.Itoa(os.Geteuid()))))
	}
	return dialPrivate()
}

// dialPrivate connects to systemd's own socket as root.
func dialPrivate(options ...godbus.ConnOption) (*godbus.Conn, error) {
	systemd, err := godbus.Dial(socket, options...)
	if err != nil {
		return nil, err
	}
	if err := systemd.Auth([]godbus.Auth{godbus.AuthExternal("0")}); err != nil {
		_ = systemd.Close() // nothing was sent yet
		return nil, err
	}
	return systemd, nil
}

// Error returns "cannot DO: systemd's own words". If there is no systemd on the bus, it wraps host.ErrUnavailable.
func Error(do string, err error) error {
	wrapped := fmt.Errorf("cannot %s: %w", do, err)
	if IsError(err, "org.freedesktop.DBus.Error.ServiceUnknown") {
		return host.Unavailable(wrapped.Error(), wrapped)
	}
	return wrapped
}

func IsError(err error, names ...string) bool {
	busErr, ok := errors.AsType[godbus.Error](err)
	return ok && slices.Contains(names, busErr.Name)
}

// Properties returns all properties of a unit at one moment. go-systemd would copy these hundreds of values twice.
func (m *Manager) Properties(ctx context.Context, name string) (Properties, error) {
	do := "look at " + name
	asks, err := m.asking()
	if err != nil {
		return nil, Unreachable(do, err)
	}
	answer, err := m.read(ctx, asks, UnitPath(name), "GetAll", "")
	if err != nil {
		return nil, Error(do, err)
	}
	all, _ := answer.(map[string]godbus.Variant)
	return all, nil
}

// Property returns one property of one of systemd's objects; nil if the object has no such property.
func (m *Manager) Property(ctx context.Context, at godbus.ObjectPath, of, name string) (any, error) {
	asks, err := m.asking()
	if err != nil {
		return nil, err
	}
	answer, err := m.read(ctx, asks, at, "Get", "org.freedesktop.systemd1."+of, name)
	value, _ := answer.(godbus.Variant)
	return value.Value(), err
}

const (
	answerTime = 10 * time.Second      // time limit for an answer, even while systemd starts many units
	firstPing  = 25 * time.Millisecond // after a query; each further pause is twice as long
)

// read reads properties of one of systemd's objects, by a method of org.freedesktop.DBus.Properties. If no answer arrives
// in time, it closes the connection, and the next query opens a new one.
func (m *Manager) read(ctx context.Context, asks *godbus.Conn, at godbus.ObjectPath, method string, args ...any) (answer any, err error) {
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

// ping sends systemd messages that need no answer, until ctx ends. systemd 252 can read a connection's first query together
// with the end of the authentication; it then processes the query only when it reads a further message.
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

func UnitPath(name string) godbus.ObjectPath {
	return unitsPath + godbus.ObjectPath(dbus.PathBusEscape(name))
}

func Unreachable(do string, err error) error {
	text := "cannot " + do + ": " + strings.TrimPrefix(err.Error(), "cannot ")
	return host.Unavailable(text, err)
}
