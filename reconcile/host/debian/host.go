// Package debian is the real machine: a host.Host made of apt, dpkg, iptables, systemd, HAProxy's master socket
// and /proc. It runs commands by package program only.
//
// Its errors begin with "cannot …" and end with the words of the program that failed. An error wraps
// host.ErrUnavailable where this machine lacks the thing asked for, or we may not look.
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

// Options are what New needs. The zero value is good.
type Options struct {
	Log         *slog.Logger      // every command at debug level, with its duration; nil for none
	Progress    func(line string) // what apt and dpkg say while they work; nil for nobody
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

	root  bool            // we are root
	proc  string          // where /proc is
	paths rootpath.Walker // follows what we write, trust and run
	run   string          // our directory for what a reboot may forget

	listeners func() (map[uint64]netip.AddrPort, error) // link.Listeners

	faultDir     atomic.Uint64 // inode of the tracked file's directory when it was last written; 0 before
	watchesAgain atomic.Bool   // keepalived is being reloaded for a new one

	vrrpMutex  sync.Mutex              // held by one question at a time
	vrrpSignal stateSignal             // the zero value until it is asked for
	silence    atomic.Pointer[silence] // to that question; nil before the first look for its answer

	acceptedMutex sync.Mutex
	accepted      accepted

	systemd *systemd.Manager
}

var _ host.Host = (*Host)(nil)

// New is this machine. It touches nothing; whether the machine can be changed is for Ready to say.
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

// Close ends the connections to systemd.
func (h *Host) Close() error {
	h.systemd.Close()
	return nil
}

// Ready is nil where this machine can be changed.
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
		_ = bus.Close() // it was only looked for
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

// Interfaces are the network interfaces with their addresses.
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
			continue // it went away in between
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

// wrap is "cannot DO: cause"; it is unavailable where the cause is that we may not look.
func wrap(do string, cause error) error { return refined(fmt.Errorf("cannot %s: %w", do, cause)) }

// refined is an error, unavailable where its cause is that we may not look, or that the interface is of another kind.
func refined(err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, link.ErrNotEthernet) {
		return host.Unavailable(err.Error(), err)
	}
	return err
}
