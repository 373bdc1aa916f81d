// Package debian implements host.Host for the real machine with apt, dpkg, iptables, systemd, HAProxy's master socket and
// /proc. It runs commands only through package program.
//
// Its errors begin with "cannot …" and end with the words of the program that failed. An error wraps host.ErrUnavailable if
// this machine lacks the subject, or this process may not read it.
package debian

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian/apt"
	"rlb.dev/rlb-agent/reconcile/host/debian/netfilter"
	"rlb.dev/rlb-agent/reconcile/host/debian/program"
	"rlb.dev/rlb-agent/reconcile/host/debian/systemd"
	"rlb.dev/rlb-agent/reconcile/host/link"
	"rlb.dev/rlb-agent/reconcile/host/rootpath"
)

// Options are the options of New. The zero value is valid.
type Options struct {
	Log         *slog.Logger      // logs every command at debug level, with its duration; nil for no log
	Progress    func(line string) // receives the messages of apt and dpkg while they work; nil for none
	LockTimeout time.Duration     // how long to wait for apt's, dpkg's and iptables' locks; 0 for two minutes
	Effect      host.Effect       // a hook around every change of this machine; nil for none
}

// Host is this machine.
type Host struct {
	*apt.Manager
	*netfilter.Tables

	log      *slog.Logger
	effect   host.Effect
	programs *program.Runner

	root  bool            // this process runs as root
	proc  string          // path of /proc
	paths rootpath.Walker // checks the paths that root writes, trusts and runs
	run   string          // the agent's directory for files that are lost at a reboot

	listeners func() (map[uint64]netip.AddrPort, error) // link.Listeners

	tracked bool // the directories of the tracked files were there

	vrrpMutex  sync.Mutex              // held by one query at a time
	vrrpSignal stateSignal             // the zero value until it is needed
	silence    atomic.Pointer[silence] // of that query; nil before the first check for its answer

	acceptedMutex sync.Mutex
	accepted      accepted

	systemd *systemd.Manager
}

var _ host.Host = (*Host)(nil)

// New returns this machine. It accesses nothing; Ready says whether the machine can be changed.
func New(o Options) (*Host, error) {
	if o.LockTimeout < 0 {
		return nil, fmt.Errorf("cannot wait %s for locks: negative", o.LockTimeout)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.LockTimeout == 0 {
		o.LockTimeout = 2 * time.Minute
	}
	programs := &program.Runner{System: program.Machine{Log: o.Log}, Progress: o.Progress, LockTimeout: o.LockTimeout, Pause: time.Second}
	return &Host{
		Manager: apt.New(programs, o.Effect, o.Log), Tables: netfilter.New(programs, o.Effect),
		log: o.Log, effect: o.Effect, programs: programs,
		root: os.Geteuid() == 0, proc: "/proc", run: host.RunDir, listeners: link.Listeners, systemd: systemd.New(systemd.Dial),
	}, nil
}

// Close closes the connections to systemd.
func (h *Host) Close() error {
	h.systemd.Close()
	return nil
}

// Ready returns nil if this machine can be changed.
func (h *Host) Ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var lacks []string
	if !h.root {
		lacks = append(lacks, "this needs root")
	}
	if fi, err := os.Lstat("/run/systemd/system"); err != nil || !fi.IsDir() {
		lacks = append(lacks, "systemd does not run this machine")
	} else if bus, err := net.Dial("unix", "/run/dbus/system_bus_socket"); err != nil {
		lacks = append(lacks, "there is no system bus (package dbus)") // systemd-run --wait needs it, for root too
	} else {
		_ = bus.Close() // only its existence matters
	}
	for _, program := range []string{"apt-get", "dpkg", "dpkg-query", "systemd-run"} {
		if _, err := h.programs.Find(program); err != nil {
			lacks = append(lacks, program+" is not installed")
		}
	}
	if len(lacks) == 0 && h.goingDown(ctx) {
		lacks = append(lacks, "it is going down")
	}
	if len(lacks) > 0 {
		return unavailable("cannot change this machine: " + strings.Join(lacks, "; "))
	}
	return nil
}

// Interfaces returns the network interfaces with their addresses.
func (h *Host) Interfaces(ctx context.Context) ([]host.Interface, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	links, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("cannot list network interfaces: %w", err)
	}
	var all []host.Interface
	for _, link := range links {
		addrs, err := link.Addrs()
		if err != nil {
			continue // it disappeared in between
		}
		found := host.Interface{Name: link.Name}
		for _, addr := range addrs {
			if p, err := netip.ParsePrefix(addr.String()); err == nil {
				found.Prefixes = append(found.Prefixes, p)
			}
		}
		all = append(all, found)
	}
	return all, nil
}

func unavailable(text string) error { return host.Unavailable(text, nil) }

// wrap returns "cannot DO: cause". It wraps host.ErrUnavailable if the cause is a missing permission.
func wrap(do string, cause error) error { return refined(fmt.Errorf("cannot %s: %w", do, cause)) }

// refined makes err wrap host.ErrUnavailable if its cause is a missing permission, or an interface that is no Ethernet.
func refined(err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, link.ErrNotEthernet) {
		return host.Unavailable(err.Error(), err)
	}
	return err
}
