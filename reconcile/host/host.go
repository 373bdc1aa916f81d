package host

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"time"

	"rlb.dev/rlb-agent/render"
)

// ErrUnavailable is wrapped by an Observer's error where this machine has no such thing (no systemd, no dpkg) or the
// caller may not look (not root). Planning then goes on without it and says so; applying refuses.
var ErrUnavailable = errors.New("not available on this machine")

// ErrNoAnswer is wrapped by the error of a question to a program that runs and does not answer in time.
var ErrNoAnswer = errors.New("it does not answer")

// Observer is the read-only half of a host: all that planning ever gets. Every method looks anew.
type Observer interface {
	// Interfaces are the network interfaces with their addresses, loopback included.
	Interfaces(ctx context.Context) ([]Interface, error)
	// Packages are the states of the named packages, in that order.
	Packages(ctx context.Context, names ...string) ([]Package, error)
	// File is the state of a file. A file that does not exist is no error.
	File(ctx context.Context, path string) (File, error)
	// Unit is the state of a systemd unit. A unit that does not exist is no error.
	Unit(ctx context.Context, name string) (Unit, error)
	// Firewall is the state of the filter table's INPUT chain and of the agent's own chain.
	Firewall(ctx context.Context, family render.Family) (Firewall, error)
	// Check asks the real programs, if installed, what they think of rendered files that are not installed yet. The
	// error is a *Refusal, or two of them joined; a program that is not installed is named in unchecked. Only a temporary directory is written.
	Check(ctx context.Context, files []render.File) (unchecked []string, err error)
	// Workers are HAProxy's processes as its master tells them on the socket (management guide §9.4, "show proc").
	Workers(ctx context.Context, masterSocket string) (Workers, error)
	// Listeners are the TCP sockets on which the processes listen.
	Listeners(ctx context.Context, pids ...int) ([]netip.AddrPort, error)
	// Sockets are all TCP sockets that listen on this host, with the programs that hold them.
	Sockets(ctx context.Context) ([]Socket, error)
	// VRRP is what keepalived says of its instances, within half a second. The process is the unit's main one.
	VRRP(ctx context.Context, pid int) ([]Instance, error)
	// Servers is what HAProxy says of the servers of its backends.
	Servers(ctx context.Context) ([]ServerState, error)
	// RunningServers are the servers of all backends as HAProxy runs them.
	RunningServers(ctx context.Context) ([]RunningServer, error)
	// Rehearse runs HAProxy with the servers of a rendered file beside the real one, which it leaves alone, and shows
	// their states until seen has enough. The error says why there is no more to see.
	Rehearse(ctx context.Context, file render.File, seen func([]ServerState) (enough bool)) error
	// Additions are the packages that an installation would bring besides those that are there, dependencies included.
	Additions(ctx context.Context, packages ...string) ([]string, error)
	// Neighbours asks on an interface, by ARP and neighbour solicitations, who holds these addresses: the MACs ("02:00:00:00:00:0a")
	// of those that answer within 300 ms, this host left out. A peer that is there answers for its own address; one that
	// holds a virtual IP answers for that.
	Neighbours(ctx context.Context, iface string, addrs []netip.Addr) (map[netip.Addr]string, error)
	// HearsRouter says whether another machine advertises itself under one of these identities on an interface. It ends
	// with the first advertisement, or after wait.
	HearsRouter(ctx context.Context, iface string, ids []render.Identity, wait time.Duration) (bool, error)
	// Offers are what apt would install of the named packages if nothing held them, and when its lists changed last.
	// Where that is not after since, nobody is asked and there are none.
	Offers(ctx context.Context, since time.Time, names ...string) (offers map[string]Offer, lists time.Time, err error)
}

// Host is a host that can be changed. Every writer is an "ensure": done before, it does nothing and is no error.
type Host interface {
	Observer

	// Ready is nil where this machine can be changed: root, systemd running, apt there. It touches nothing.
	Ready(ctx context.Context) error

	// RefreshPackages fetches the lists of packages (apt-get update).
	RefreshPackages(ctx context.Context) error
	// InstallPackages installs packages, each "name" or "name=version" (glob allowed), without their recommendations.
	// It returns the names of all packages that were not installed before, dependencies included.
	InstallPackages(ctx context.Context, packages ...string) ([]string, error)
	// PurgePackages removes packages with their configuration, and nothing but these.
	PurgePackages(ctx context.Context, names ...string) error
	// RepairPackages finishes what an interrupted dpkg or apt left half done.
	RepairPackages(ctx context.Context) error
	// HoldPackage marks a package as held against upgrades, or takes the mark away.
	HoldPackage(ctx context.Context, name string, hold bool) error

	// WriteFile replaces a file atomically and durably, and makes missing directories (0755). Owner and group by number.
	WriteFile(ctx context.Context, path string, data []byte, mode fs.FileMode, uid, gid int) error
	// RemoveFile removes a file; it leaves the directory, but for one of drop-ins that is empty then.
	RemoveFile(ctx context.Context, path string) error
	// RemoveTree removes a directory of the agent's own, with all that is in it.
	RemoveTree(ctx context.Context, path string) error

	// LoadFirewall applies rules in iptables-restore's format on top of what is there, all of them or none.
	LoadFirewall(ctx context.Context, family render.Family, rules string) error

	// RemoveAddress takes an address off an interface. Where there is no such interface the address is not there either.
	RemoveAddress(ctx context.Context, iface string, prefix netip.Prefix) error

	// MaskUnit keeps a unit from being started until UnmaskUnit or a reboot (a runtime mask); it need not exist yet.
	MaskUnit(ctx context.Context, name string) error
	// UnmaskUnit takes masks of both kinds away.
	UnmaskUnit(ctx context.Context, name string) error
	// EnableUnit makes a unit start at boot.
	EnableUnit(ctx context.Context, name string) error
	// DisableUnit makes a unit not start at boot.
	DisableUnit(ctx context.Context, name string) error
	// ReloadManager makes systemd read changed unit files.
	ReloadManager(ctx context.Context) error
	// StartUnit starts a unit and waits until that is done.
	StartUnit(ctx context.Context, name string) error
	// StopUnit stops a unit and waits until that is done.
	StopUnit(ctx context.Context, name string) error
	// RestartUnit restarts a unit and waits until that is done.
	RestartUnit(ctx context.Context, name string) error
	// RunDetached runs a command, with its absolute path, in a unit of its own that outlives the agent. Where that unit
	// runs already nothing is done.
	RunDetached(ctx context.Context, unit string, args ...string) error
	// ReloadUnit makes a running unit read its configuration, and waits until systemd calls that done.
	ReloadUnit(ctx context.Context, name string) error
	// Runtime gives the running HAProxy one command of its runtime API that changes something. Unlike other writers it
	// may be refused, in HAProxy's words, where all is done already.
	Runtime(ctx context.Context, command string) error
}
