package failover

import (
	"context"
	"net/netip"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render/vrrp"
)

// Host is what failover needs of the machine. debian.Host is one.
type Host interface {
	host.Observer
	HAProxy
	Keepalived
	Network
}

// HAProxy is the local HAProxy, and the states of the services.
type HAProxy interface {
	// ServiceStates brings each new ActiveState of a unit, the present one first, until ctx ends. It is "failed" as soon
	// as the main process has ended by itself or was killed.
	ServiceStates(ctx context.Context, unit string, changed func(state string))
	// HAProxyAnswers says whether HAProxy answers within some milliseconds. That it does not says nothing yet.
	HAProxyAnswers() bool
	// ProbeHAProxy asks a HAProxy that did not answer at once. It takes half a second, and more for a busy one; in haste
	// 120 ms where HAProxy is not busy and this process gets its core on time.
	ProbeHAProxy(ctx context.Context, haste bool) host.HAProxyState
}

// Keepalived is the local keepalived.
type Keepalived interface {
	// TellKeepalived writes render.FaultFile, which keepalived tracks.
	TellKeepalived(fault bool) error
	// KillUnit sends SIGKILL to all processes of a unit.
	KillUnit(ctx context.Context, name string) error
	// HastenVRRP gives the processes that keepalived's main process has made real-time priority.
	HastenVRRP(ctx context.Context, keepalived int) error
	// VRRPAtOnce is host.Observer's VRRP with less patience: 120 ms, in which this process gets its core on time.
	VRRPAtOnce(ctx context.Context, pid int) ([]host.Instance, error)
	// AwaitChildEnd waits until one of the processes that a process has made has ended, and calls then at once. It fails
	// where there is none.
	AwaitChildEnd(ctx context.Context, parent int, then func()) error
	// Suspend stops a process and those that it has made (SIGSTOP), until Resume.
	Suspend(pid int) error
	// Resume lets them go on (SIGCONT). Where they were not stopped, it does nothing.
	Resume(pid int) error
}

// Network is the interface of the virtual IPs, and who else is on its link. MACs are text: "02:00:00:00:00:0a".
type Network interface {
	// MAC is the hardware address of an interface.
	MAC(iface string) (string, error)
	// RemoveAddress removes an address from an interface.
	RemoveAddress(ctx context.Context, iface string, prefix netip.Prefix) error
	// WatchAddresses calls changed when addresses of this host may have changed, and once at its beginning, until ctx
	// ends.
	WatchAddresses(ctx context.Context, changed func()) error
	// AnyAnswers says whether another host answers for one of these addresses, at most after wait.
	AnyAnswers(ctx context.Context, iface string, addrs []netip.Addr, wait time.Duration) (bool, error)
	// OtherNeighbours is Neighbours without the answers of machines with these MACs.
	OtherNeighbours(ctx context.Context, iface string, addrs []netip.Addr, without []string) (map[netip.Addr]string, error)
	// ProbeServices sends a TCP connection request to each of these endpoints, whoever else holds their addresses, and says
	// what each replied within 200 ms. No connection is made.
	ProbeServices(ctx context.Context, iface string, at []host.Endpoint) ([]host.Reply, error)
	// WatchHolders calls claimed when another host says that one of these addresses is its own, until ctx ends.
	// toUsAlone is that it said so to this host alone.
	WatchHolders(ctx context.Context, iface string, addrs []netip.Addr, claimed func(toUsAlone bool)) error
	// Announce tells everyone on the link that an address is here (gratuitous ARP, unsolicited neighbour advertisement).
	Announce(iface string, addr netip.Addr) error
	// AnnounceTo is Announce to the host with that MAC alone.
	AnnounceTo(iface string, addr netip.Addr, mac string) error
	// EndSessions ends the TCP connections to these addresses and ports of this host, and tells their peers (RST).
	EndSessions(ctx context.Context, addrs []netip.Addr, ports []uint16) (n int, err error)
	// AdvertsPass says whether advertisements of another host under each of these identities get through to keepalived.
	// It takes three advertisement intervals at most.
	AdvertsPass(ctx context.Context, iface string, ids []vrrp.Identity) (bool, error)
}
