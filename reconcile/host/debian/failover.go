package debian

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/link"
	"rlb.dev/rlb-agent/render"
)

// WatchHolders calls claimed when another host claims one of these addresses, until ctx ends. toUsAlone means that the
// claim was sent to this host alone.
func (h *Host) WatchHolders(ctx context.Context, iface string, addrs []netip.Addr, claimed func(toUsAlone bool)) error {
	return refined(link.WatchHolders(ctx, iface, addrs, func(_ netip.Addr, _ net.HardwareAddr, alone bool) { claimed(alone) }))
}

// Announce tells all hosts on the link of an interface that this host holds addresses.
func (h *Host) Announce(iface string, addrs []netip.Addr) error {
	return refined(link.Announce(iface, addrs))
}

// AnnounceTo is like Announce, but only to the host with that MAC.
func (h *Host) AnnounceTo(iface string, addrs []netip.Addr, mac string) error {
	to, err := net.ParseMAC(mac)
	if err != nil {
		return fmt.Errorf("cannot announce %v on %s: %w", addrs, iface, err)
	}
	return refined(link.AnnounceTo(iface, addrs, to))
}

// EndSessions closes the TCP connections to these addresses and ports of this host with a RST to their peers.
func (h *Host) EndSessions(_ context.Context, addrs []netip.Addr, ports []uint16) (n int, err error) {
	err = h.effect.Do("EndSessions", func() (err error) { n, err = link.EndSessions(addrs, ports); return refined(err) })
	return n, err
}

// CountSessions counts the TCP connections to these addresses and ports of this host.
func (h *Host) CountSessions(_ context.Context, addrs []netip.Addr, ports []uint16) (int, error) {
	n, err := link.CountSessions(addrs, ports)
	return n, refined(err)
}

// SweepSessions removes finished TCP connections to these addresses and ports, including TIME_WAIT.
func (h *Host) SweepSessions(_ context.Context, addrs []netip.Addr, ports []uint16) error {
	return h.effect.Do("SweepSessions", func() error { return refined(link.SweepSessions(addrs, ports)) })
}

// SendHeartbeat tells hosts on the link of an interface that this host still serves its connections.
func (h *Host) SendHeartbeat(iface string, from netip.Addr, to []netip.Addr, heartbeat uint64) error {
	return refined(link.SendHeartbeat(iface, from, to, render.HeartbeatPort, heartbeat))
}

// HearHeartbeats calls heard for each heartbeat of another host, with its source MAC, until ctx ends.
func (h *Host) HearHeartbeats(ctx context.Context, iface string, heard func(mac string, heartbeat uint64)) error {
	return refined(link.HearHeartbeats(ctx, iface, render.HeartbeatPort, heard))
}

// Challenge resets the clients' ends of connections that this host does not have, see link.Challenge.
func (h *Host) Challenge(ctx context.Context, flows []host.Flow) (n int, err error) {
	n, err = link.Challenge(ctx, func(yield func(client, server netip.AddrPort) bool) {
		for _, flow := range flows {
			if !yield(flow.Client, flow.Server) {
				return
			}
		}
	})
	return n, refined(err)
}

// AwaitChildEnd waits until one of a process's children has ended, and then calls then at once. It fails if the process has
// no children. Both happen in a thread of its own with real-time priority, if that is permitted: the parent starts a new
// child within a millisecond, and on a busy machine an ordinary thread would be too late.
func (h *Host) AwaitChildEnd(ctx context.Context, parent int, then func()) error {
	do := fmt.Sprintf("wait for the end of a child of process %d", parent)
	children, err := h.children(parent)
	if err != nil {
		return wrap(do, err)
	}
	if len(children) == 0 {
		return fmt.Errorf("cannot %s: it has none", do)
	}
	ended := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine, so no other goroutine gets its priority
		_ = makeRealtime(0)
		err := awaitAnyEnd(ctx, children)
		if err == nil {
			then()
		}
		ended <- err
	}()
	if err := <-ended; err != nil {
		return wrap(do, err)
	}
	return nil
}

// awaitAnyEnd blocks this thread until one of these processes has ended, or returns an error when ctx ends.
func awaitAnyEnd(ctx context.Context, pids []int) error {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return os.NewSyscallError("eventfd", err)
	}
	polled := []unix.PollFd{{Fd: int32(wake), Events: unix.POLLIN}} // #nosec G115 -- the kernel's own
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		_, _ = unix.Write(wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // eventfd(2): if the counter is full, it was written before
	})
	defer func() {
		if !stop() {
			<-woken // it writes to the descriptor
		}
		for _, p := range polled {
			_ = unix.Close(int(p.Fd)) // nothing was written to it
		}
	}()
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if errors.Is(err, unix.ESRCH) {
			return nil
		}
		if err != nil {
			return os.NewSyscallError("pidfd_open", err)
		}
		polled = append(polled, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}) // #nosec G115 -- the kernel's own
	}
	for {
		_, err := unix.Poll(polled, -1)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return os.NewSyscallError("poll", err)
		case polled[0].Revents != 0:
			return ctx.Err()
		default:
			return nil
		}
	}
}

// Suspend stops a process and its children (SIGSTOP) until Resume. A process that has ended is no error.
func (h *Host) Suspend(pid int) error { return h.signalTree("Suspend", pid, unix.SIGSTOP) }

// Resume continues a process and its children (SIGCONT). It has no effect on processes that are not stopped.
func (h *Host) Resume(pid int) error { return h.signalTree("Resume", pid, unix.SIGCONT) }

// signalTree signals the process before its children, so that it creates no more.
func (h *Host) signalTree(effect string, pid int, signal unix.Signal) error {
	do := fmt.Sprintf("%s process %d", strings.ToLower(effect), pid)
	return h.effect.Do(fmt.Sprintf("%s %d", effect, pid), func() error {
		if err := unix.Kill(pid, signal); err != nil && !errors.Is(err, unix.ESRCH) {
			return wrap(do, err)
		}
		children, err := h.children(pid)
		if err != nil {
			return wrap(do, err)
		}
		for _, child := range children {
			if err := unix.Kill(child, signal); err != nil && !errors.Is(err, unix.ESRCH) {
				return wrap(do, err)
			}
		}
		return nil
	})
}

// TellKeepalived writes the fault flag to the file that keepalived tracks. It writes in place: keepalived reads the file
// when it is closed, and a file that a crash left empty means the same as a missing one.
func (h *Host) TellKeepalived(fault bool) error {
	return h.effect.Do(fmt.Sprintf("TellKeepalived %t", fault), func() error {
		if err := makeDirs(filepath.Dir(render.FaultFile)); err != nil {
			return wrap("tell keepalived", err)
		}
		if err := os.WriteFile(render.FaultFile, []byte(render.TrackedText(fault)), 0o644); err != nil {
			return wrap("tell keepalived", err)
		}
		return nil
	})
}

// TrackAgain reloads keepalived after a directory of the files that it tracks was removed and made again. keepalived's watch
// ended with the former directory (inotify(7), IN_IGNORED), and keepalived does not see the file in the new one until it
// reads its configuration again. TrackAgain must be called at the beginning, and then whenever the paths of these files may
// lead through other directories. After an error keepalived is still to be reloaded: TrackAgain must be called again. Only
// one goroutine may call it.
func (h *Host) TrackAgain(ctx context.Context) error {
	for _, file := range []string{render.FaultFile, render.DrainFile} {
		if _, err := os.Stat(filepath.Dir(file)); err != nil {
			return nil // keepalived 2.1 cannot track a file in a missing directory; it is called again when the directory is made
		}
	}
	if !h.tracked { // until now there was nothing to lose
		h.tracked = true
		return nil
	}
	unit, err := h.Unit(ctx, host.KeepalivedUnit)
	if err == nil && !unit.Active() {
		return nil // it starts to watch when it starts
	}
	if err == nil {
		time.Sleep(unit.GraceLeft())
		err = h.ReloadUnit(ctx, host.KeepalivedUnit)
	}
	const lost = "/run/rlb or /var/lib/rlb was removed, and keepalived did not see the fault flag or the drain any more"
	if err != nil {
		return fmt.Errorf("cannot reload keepalived: %s: %w", lost, err)
	}
	h.log.Warn("reloaded keepalived: " + lost)
	return nil
}
