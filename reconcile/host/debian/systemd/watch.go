package systemd

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	godbus "github.com/godbus/dbus/v5"

	"rlb.dev/rlb-agent/reconcile/backoff"
)

// redial is the pause before the next connection to systemd.
func redial() *backoff.Backoff {
	return &backoff.Backoff{First: time.Second, Most: time.Minute, Quiet: time.Minute}
}

// Watch calls changed with the name of a unit whose properties may have changed, until ctx ends. After a loss of the
// connection, which it reports by lost, and after unit files were enabled, disabled or masked, it calls changed for all
// units.
func Watch(ctx context.Context, names []string, changed func(name string), lost func(error)) {
	redial().Repeat(ctx, func(ctx context.Context) error { return watch(ctx, names, changed) }, lost)
}

// watch watches until the connection is lost.
func watch(ctx context.Context, names []string, changed func(name string)) error {
	hints := newUnitHints(names)
	systemd, err := dialPrivate(godbus.WithContext(ctx), godbus.WithSignalHandler(hints))
	if err != nil {
		return err
	}
	defer systemd.Close()
	hints.addAll() // earlier changes were not signalled
	for {
		select {
		case name := <-hints.next:
			hints.taken(name)
			changed(name)
		case <-systemd.Context().Done():
			return errors.New("the connection to systemd was lost")
		}
	}
}

// socket is systemd's own socket, as a D-Bus address. systemd sends every signal to all connected clients without a
// subscription. Only root can connect, and only systemd can send; on the system bus any user can send this process a signal
// that looks like systemd's.
const socket = "unix:path=/run/systemd/private"

const (
	ManagerPath = godbus.ObjectPath("/org/freedesktop/systemd1")
	unitsPath   = ManagerPath + "/unit/"
)

// unitHints collects the units that changed according to a signal. A signal only tells that a unit must be read again; its
// content is discarded. Each unit is queued at most once, however many signals arrive.
type unitHints struct {
	names map[godbus.ObjectPath]string
	next  chan string // has space for all units

	mutex   sync.Mutex
	waiting map[string]bool // units in next
}

func newUnitHints(names []string) *unitHints {
	u := &unitHints{names: map[godbus.ObjectPath]string{}, next: make(chan string, len(names)), waiting: map[string]bool{}}
	for _, name := range names {
		u.names[UnitPath(name)] = name
	}
	return u
}

// DeliverSignal handles a signal (godbus.SignalHandler). systemd signals a change of a service twice; the first signal is
// enough.
func (u *unitHints) DeliverSignal(_, _ string, signal *godbus.Signal) {
	name, known := u.names[signal.Path]
	switch {
	case known && signal.Name == "org.freedesktop.DBus.Properties.PropertiesChanged" && slices.Contains(signal.Body, any("org.freedesktop.systemd1.Unit")):
		u.add(name)
	case signal.Path == ManagerPath && signal.Name == "org.freedesktop.systemd1.Manager.UnitFilesChanged":
		u.addAll()
	}
}

func (u *unitHints) addAll() {
	for _, name := range u.names {
		u.add(name)
	}
}

func (u *unitHints) add(name string) {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	if !u.waiting[name] {
		u.waiting[name] = true
		u.next <- name
	}
}

// taken is called before the unit is read, so a later change is a new hint.
func (u *unitHints) taken(name string) {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	delete(u.waiting, name)
}
