package debian

import (
	"log/slog"
	"net/netip"
	"os"
	"testing"

	godbus "github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian/apt"
	"rlb.dev/rlb-agent/reconcile/host/debian/netfilter"
	"rlb.dev/rlb-agent/reconcile/host/debian/program/recorded"
	"rlb.dev/rlb-agent/reconcile/host/debian/systemd"
	"rlb.dev/rlb-agent/reconcile/host/rootpath"
)

// newFake makes a host with recorded answers, as root.
func newFake(t *testing.T, answers ...recorded.Answer) (*Host, *recorded.System) {
	return newFakeWith(t, nil, answers...)
}

// newFakeWith adds a hook to its effects.
func newFakeWith(t *testing.T, effect host.Effect, answers ...recorded.Answer) (*Host, *recorded.System) {
	programs, f := recorded.Runner(t, answers...)
	log := slog.New(slog.DiscardHandler)
	h := &Host{
		Manager: apt.New(programs, effect, log), Tables: netfilter.New(programs, effect),
		log: log, effect: effect, programs: programs, root: true, paths: rootpath.Within(os.TempDir()), proc: t.TempDir(), run: t.TempDir(),
		systemd:   systemd.New(func() (*godbus.Conn, error) { return nil, unix.ENOENT }),
		listeners: func() (map[uint64]netip.AddrPort, error) { return nil, unix.ENOENT },
	}
	return h, f
}
