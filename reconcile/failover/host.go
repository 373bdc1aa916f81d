package failover

import (
	"context"
	"net/netip"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render/vrrp"
)

// Host is the part of the machine that failover uses. debian.Host implements it.
type Host interface {
	host.Observer
	HAProxy
	Keepalived
	Network
}

// HAProxy is the local HAProxy, and the states of the services.
type HAProxy interface {
	// ServiceStates calls changed with each new ActiveState of a unit, the current one first, until ctx ends. The state is
	// "failed" as soon as the main process has ended by itself or was killed.
	ServiceStates(ctx context.Context, unit string, changed func(state string))
	// HAProxyAnswers says whether HAProxy answers within some milliseconds. false alone does not prove that HAProxy hangs.
	HAProxyAnswers() bool
	// ProbeHAProxy probes a HAProxy that did not answer at once. A probe takes half a second, and more if HAProxy is busy.
	// In haste it takes 120 ms if HAProxy is not busy and this process gets CPU time on time.
	ProbeHAProxy(ctx context.Context, haste bool) host.HAProxyState
}

// Keepalived is the local keepalived.
type Keepalived interface {
	// TellKeepalived writes render.FaultFile, which keepalived tracks.
	TellKeepalived(fault bool) error
	// TrackAgain reloads keepalived if a directory of the files that it tracks was removed and made again. It must be called
	// whenever that may have happened, and once before. After an error it must be called again.
	TrackAgain(ctx context.Context) error
	// KillUnit sends SIGKILL to all processes of a unit.
	KillUnit(ctx context.Context, name string) error
	// HastenVRRP gives the child processes of keepalived's main process real-time priority.
	HastenVRRP(ctx context.Context, keepalived int) error
	// VRRPAtOnce is host.Observer's VRRP with a shorter timeout: 120 ms in which this process gets CPU time on time.
	VRRPAtOnce(ctx context.Context, pid int) ([]host.Instance, error)
	// AwaitChildEnd waits until a child process of parent has ended, and calls then at once. It fails if parent has no child
	// process.
	AwaitChildEnd(ctx context.Context, parent int, then func()) error
	// Suspend stops a process and its child processes (SIGSTOP) until Resume.
	Suspend(pid int) error
	// Resume continues a process and its child processes (SIGCONT). If they were not stopped, it does nothing.
	Resume(pid int) error
}

// Network is the interface of the virtual IPs and the link it is on. MACs are text: "02:00:00:00:00:0a".
type Network interface {
	// MAC returns the hardware address of an interface.
	MAC(iface string) (string, error)
	// RemoveAddress removes an address from an interface.
	RemoveAddress(ctx context.Context, iface string, prefix netip.Prefix) error
	// WatchAddresses calls changed once at the beginning, and then when addresses of this host may have changed, until ctx
	// ends.
	WatchAddresses(ctx context.Context, changed func()) error
	// AnyAnswers says whether another host answers for one of these addresses within wait.
	AnyAnswers(ctx context.Context, iface string, addrs []netip.Addr, wait time.Duration) (bool, error)
	// OtherNeighbours is host.Observer's Neighbours without the answers of machines with these MACs.
	OtherNeighbours(ctx context.Context, iface string, addrs []netip.Addr, without []string) (map[netip.Addr]string, error)
	// ProbeServices sends a TCP SYN to each of these endpoints at its MAC, even if other machines hold the address too. It
	// returns the reply of each within 200 ms. It opens no connection.
	ProbeServices(ctx context.Context, iface string, at []host.Endpoint) ([]host.Reply, error)
	// WatchHolders calls claimed when another host claims one of these addresses as its own, until ctx ends. toUsAlone says
	// that the host sent the claim to this host only.
	WatchHolders(ctx context.Context, iface string, addrs []netip.Addr, claimed func(toUsAlone bool)) error
	// Announce announces to all hosts on the link that this host has these addresses (gratuitous ARP, unsolicited neighbour
	// advertisement).
	Announce(iface string, addrs []netip.Addr) error
	// AnnounceTo is Announce to the host with this MAC only.
	AnnounceTo(iface string, addrs []netip.Addr, mac string) error
	// EndSessions ends the TCP connections to these addresses and ports of this host and sends a RST to their peers.
	EndSessions(ctx context.Context, addrs []netip.Addr, ports []uint16) (n int, err error)
	// AdvertsPass says whether advertisements of another host reach keepalived under each of these identities. It takes three
	// advertisement intervals at most.
	AdvertsPass(ctx context.Context, iface string, ids []vrrp.Identity) (bool, error)
}
