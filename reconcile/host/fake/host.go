// Package fake is a host in memory. It models what reconciling needs of a Debian machine: apt, systemd, iptables, HAProxy
// and keepalived. It can print all of its state ([Host.Dump]), fail at any of its effects, kill the agent before or after
// an effect like a SIGKILL, and reboot. It is not safe for concurrent use.
package fake

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render/vrrp"
)

// Host is a host in memory. A test may change its fields between two calls, as an administrator would.
type Host struct {
	Net       []host.Interface      // network interfaces
	Archive   map[string][]string   // versions of each package that apt offers, the newest first
	Lists     bool                  // apt's lists were downloaded
	ListsTime time.Time             // when they last changed
	Security  bool                  // the newest versions are security updates
	Asked     int                   // number of times that apt was asked for the newest versions
	NoIPv6    bool                  // the kernel has no IPv6
	Busy      map[uint16]bool       // ports that another program holds: HAProxy cannot bind them
	Taken     map[uint16]string     // ports that another program is seen to hold, with its name
	Faulty    string                // a word in keepalived's configuration that puts its instances in FAULT
	Follows   bool                  // keepalived is in FAULT while HAProxy does not run
	Blind     bool                  // Rehearse cannot run a temporary HAProxy
	Rehearsed int                   // number of rehearsals
	Sick      string                // a word in HAProxy's configuration that makes servers, or those of a backend, DOWN
	Unchecked string                // a word in HAProxy's configuration that keeps a server unchecked
	Role      host.Role             // role of keepalived's instances; "" means BACKUP
	Lost      string                // a word in keepalived's configuration that leaves it without instances
	Forbidden map[string]string     // words that a program ("haproxy", "keepalived 1:2.3.3-1") rejects in its configuration
	OldMaster bool                  // HAProxy before 2.6, which does not report failed reloads
	KeepsOld  bool                  // packages neither reload nor restart a daemon
	Reloading bool                  // HAProxy lists a new worker before it listens, as from 3.1 on
	Adverts   []vrrp.Identity       // advertisements of other routers
	Forged    bool                  // … whose senders are no nodes, and not on the subnet
	OnLink    []host.Router         // other VRRP routers
	Detached  []string              // commands of RunDetached
	Deaf      bool                  // HAProxy listens nowhere, whatever it has loaded
	Answers   map[netip.Addr]string // MACs of the other machines that answer for an address
	NotReady  error                 // result of Ready
	Says      map[string]string     // status texts that running units send to systemd, by unit
	Shared    []string              // directories that other users than root can write
	Log       []string              // every call of a writer, in order

	NoHandover string // why nft rejects the rules of planned moves

	Stubborn    string         // a word in commands of HAProxy's runtime API that it rejects
	LateAddress int            // queries after a change in which a server still shows its former address, as from HAProxy 3.0 on
	Sessions    map[string]int // connections of HAProxy's servers ("web/server1") that do not end
	OldSessions map[string]int // connections of old workers with these servers

	files    map[string]host.File
	packages map[string]*pkg
	units    map[string]*unit
	manager  map[string]string // unit files as systemd has read them
	tables   map[api.Family]table
	kernel   kernel
	ticks    int // the host's own clock
	serial   int // number of processes and unit runs

	fault fault
}

var _ host.Host = (*Host)(nil)

// New returns a freshly installed Debian 12: eth0 with 198.51.100.11/24, nothing of the agent's, all packages available.
func New() *Host {
	return &Host{
		Net: []host.Interface{
			{Name: "lo", Prefixes: prefixes("127.0.0.1/8", "::1/128")},
			{Name: "eth0", Prefixes: prefixes("198.51.100.11/24", "2001:db8::11/64", "fe80::11/64")},
		},
		Archive: map[string][]string{
			"haproxy":     {"2.6.12-1+deb12u4", "2.6.12-1+deb12u3"},
			"keepalived":  {"1:2.2.7-1+b2"},
			"iptables":    {"1.8.9-2"},
			"nftables":    {"1.0.6-2+deb12u2"},
			"liblua5.3-0": {"5.3.6-2"},
		},
		Lists:     true,
		ListsTime: time.Date(2025, 12, 1, 0, 0, 0, 0, time.UTC),
		Busy:      map[uint16]bool{},
		Forbidden: map[string]string{},
		files:     map[string]host.File{},
		packages:  map[string]*pkg{},
		units:     map[string]*unit{},
		manager:   map[string]string{},
		tables:    map[api.Family]table{api.IPv4: newTable(), api.IPv6: newTable()},
	}
}

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// now is the host's own clock. It advances with every effect, so the order of changes is visible.
func (h *Host) now() time.Time {
	return time.Date(2026, 1, 1, 0, 0, h.ticks, 0, time.UTC)
}

func (h *Host) next() int { h.serial++; return h.serial }

// Admin changes the host as its administrator: without log, effect count and injected faults.
func (h *Host) Admin(change func(ctx context.Context, h host.Host) error) {
	saved, log := h.fault, slices.Clone(h.Log)
	h.fault = fault{}
	defer func() { h.fault, h.Log = saved, log }()
	if err := change(context.Background(), h); err != nil {
		panic(fmt.Sprintf("fake: the administrator: %v", err))
	}
}

// Ready returns NotReady.
func (h *Host) Ready(ctx context.Context) error {
	if err := h.look(ctx, "Ready"); err != nil {
		return err
	}
	return h.NotReady
}

// Interfaces returns Net.
func (h *Host) Interfaces(ctx context.Context) ([]host.Interface, error) {
	if err := h.look(ctx, "Interfaces"); err != nil {
		return nil, err
	}
	return slices.Clone(h.Net), nil
}

// HearsRouter says whether one of the identities is in Adverts, and Adverts are not Forged.
func (h *Host) HearsRouter(ctx context.Context, iface string, ids []vrrp.Identity, from []netip.Prefix, _ time.Duration) (bool, error) {
	if err := h.look(ctx, "HearsRouter"); err != nil || h.Forged && len(from) > 0 {
		return false, err
	}
	return slices.ContainsFunc(ids, func(id vrrp.Identity) bool { return slices.ContainsFunc(h.Adverts, id.Covers) }), nil
}

// Routers returns OnLink.
func (h *Host) Routers(ctx context.Context, iface string, _ time.Duration) ([]host.Router, error) {
	if err := h.look(ctx, "Routers"); err != nil {
		return nil, err
	}
	return slices.Clone(h.OnLink), nil
}

// Neighbours returns the entries of Answers.
func (h *Host) Neighbours(ctx context.Context, iface string, addrs []netip.Addr) (map[netip.Addr]string, error) {
	if err := h.look(ctx, "Neighbours"); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(h.Net, func(i host.Interface) bool { return i.Name == iface }) {
		return nil, fmt.Errorf("cannot ask for neighbours on %s: there is no interface %s", iface, iface)
	}
	found := maps.Clone(h.Answers)
	maps.DeleteFunc(found, func(addr netip.Addr, _ string) bool { return !slices.Contains(addrs, addr) })
	return found, nil
}

func unavailable(text string) error {
	return fmt.Errorf("cannot %s: %w", text, host.ErrUnavailable)
}
