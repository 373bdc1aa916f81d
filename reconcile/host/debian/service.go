package debian

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian/program"
	"rlb.dev/rlb-agent/reconcile/host/debian/systemd"
)

// WatchUnits calls changed with the name of a unit that may have changed, until ctx ends, see systemd.Watch.
func (h *Host) WatchUnits(ctx context.Context, names []string, changed func(name string)) {
	systemd.Watch(ctx, names, changed, func(err error) { h.log.DebugContext(ctx, "cannot watch units", "err", err) })
}

// ServiceStates calls changed with each new ActiveState of a service, the current one first, until ctx ends. The state is
// "failed" as soon as the main process has exited by itself or was killed: systemd reports that some milliseconds later.
func (h *Host) ServiceStates(ctx context.Context, name string, changed func(state string)) {
	ctx, cancel := context.WithCancel(ctx)
	s := serviceStates{changed: changed}
	defer s.watches.Wait()
	defer cancel()
	h.WatchUnits(ctx, []string{name}, func(string) { s.look(ctx, h, name) })
}

// lookAgain is the pause after a failed look at a service. A busy systemd can be silent for longer than the time limit of a
// query.
const lookAgain = time.Second

// look reads the state of a service. It repeats that until it succeeds: systemd signals a change only once, and without an
// answer the last known state would stay until the next change.
func (s *serviceStates) look(ctx context.Context, h *Host, name string) {
	for {
		unit, err := h.serviceState(ctx, name)
		if err == nil {
			s.is(ctx, h, unit)
			return
		}
		h.log.DebugContext(ctx, "cannot look at "+name, "err", err)
		if program.Sleep(ctx, lookAgain) != nil {
			return
		}
	}
}

// serviceState returns the state of a unit, and if the unit is active also its main process. Reading one property is much
// faster than reading all, and the peers wait for what the agent does when a service stops.
func (h *Host) serviceState(ctx context.Context, name string) (host.Unit, error) {
	state, err := h.systemd.Property(ctx, systemd.UnitPath(name), "Unit", "ActiveState")
	if err != nil {
		return host.Unit{}, err
	}
	text, _ := state.(string)
	if unit := (host.Unit{ActiveState: text}); !unit.Active() {
		return unit, nil
	}
	return h.Unit(ctx, name)
}

// serviceStates holds the reported state of one service.
type serviceStates struct {
	changed func(state string)
	watches sync.WaitGroup

	mutex sync.Mutex
	last  string
	pid   int // of the watched main process; 0 means none
	dead  int // of a main process that has ended while systemd still reports the service as active
}

// is handles a state that systemd reports.
func (s *serviceStates) is(ctx context.Context, h *Host, unit host.Unit) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	pid := unit.MainPID
	if pid != 0 && pid == s.dead {
		return
	}
	if pid != 0 && pid != s.pid {
		s.watches.Go(func() {
			if err := awaitEnd(ctx, pid); err != nil {
				h.log.DebugContext(ctx, "cannot watch a process", "pid", pid, "err", err)
				return
			}
			s.ended(pid)
		})
	}
	s.pid, s.dead = pid, 0
	s.tell(unit.ActiveState)
}

// ended handles the end of a process. If systemd stops the service, that end is expected.
func (s *serviceStates) ended(pid int) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if pid == s.pid {
		s.dead = pid
		s.tell("failed")
	}
}

func (s *serviceStates) tell(state string) {
	if state != s.last {
		s.last = state
		s.changed(state)
	}
}

// awaitEnd waits until a process, a child or not, has ended (pidfd_open(2), PIDFD_NONBLOCK: Linux 5.10 and newer). It
// returns an error when ctx ends.
func awaitEnd(ctx context.Context, pid int) error {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	file := os.NewFile(uintptr(fd), "pidfd")
	defer file.Close() //nolint:errcheck // nothing was written
	defer context.AfterFunc(ctx, func() { _ = file.Close() })()
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Read(func(fd uintptr) bool {
		ready, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return ready > 0
	})
}
