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

// redial is the pause before systemd is dialled again.
func redial() *backoff.Backoff {
	return &backoff.Backoff{First: time.Second, Most: time.Minute, Quiet: time.Minute}
}

// Watch calls changed with the name of a unit whose properties may have changed, until ctx ends. After a loss of the
// connection, of which it tells by lost, and where unit files were enabled, disabled or masked, all of them may have
// changed.
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
	hints.addAll() // what changed before is not told
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

// socket is systemd's own (the address as D-Bus writes it). systemd sends every signal to all who are connected,
// unasked. Only root can connect, and nobody but systemd can send: on the system bus any user may send a signal to us
// that looks like systemd's.
const socket = "unix:path=/run/systemd/private"

const (
	ManagerPath = godbus.ObjectPath("/org/freedesktop/systemd1")
	unitsPath   = ManagerPath + "/unit/"
)

// unitHints are the units of which a signal says that they changed. A signal is a hint to look, never an answer: what
// it says is not kept. Each unit waits once at most, however many signals come.
type unitHints struct {
	names map[godbus.ObjectPath]string
	next  chan string // has room for all units

	mutex   sync.Mutex
	waiting map[string]bool // in next
}

func newUnitHints(names []string) *unitHints {
	u := &unitHints{names: map[godbus.ObjectPath]string{}, next: make(chan string, len(names)), waiting: map[string]bool{}}
	for _, name := range names {
		u.names[UnitPath(name)] = name
	}
	return u
}

// DeliverSignal hears a signal (godbus.SignalHandler). A change of a service comes twice, and its first part is enough.
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

// taken is called before the unit is looked at: what changes from now on is a new hint.
func (u *unitHints) taken(name string) {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	delete(u.waiting, name)
}
