package host

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/render/vrrp"
)

// Interface is one network interface.
type Interface struct {
	Name     string
	Prefixes []netip.Prefix // addresses with their prefix lengths
}

// Socket is a listening TCP socket.
type Socket struct {
	Addr    netip.AddrPort
	PID     int    // one process that holds it; 0 if none is visible
	Program string // name of that process
}

// AgentMessage is a message between agents (package peers): a report's body and its addition.
type AgentMessage = struct{ Body, Addition []byte }

// Endpoint is a TCP port of an address on one machine of the link.
type Endpoint struct {
	MAC  string     // of that machine: "02:00:00:00:00:0a"
	From netip.Addr // source address on this host
	At   netip.AddrPort
}

// Reply is a machine's reply to a TCP connection request.
type Reply int

// The replies.
const (
	Silent   Reply = iota // no reply: the machine does not hold the address, or drops the request
	Refused               // the machine holds the address, and nothing listens on the port
	Accepted              // a program listens
)

// Overlaps says whether s prevents another socket from listening on other. The IPv6 wildcard of another program can serve
// IPv4 too.
func (s Socket) Overlaps(other netip.AddrPort) bool {
	a, b := s.Addr, other
	if a.Port() != b.Port() {
		return false
	}
	any4 := func(x netip.AddrPort) bool { return x.Addr() == netip.IPv4Unspecified() }
	any6 := func(x netip.AddrPort) bool { return x.Addr() == netip.IPv6Unspecified() }
	same := a.Addr().Is4() == b.Addr().Is4()
	return a.Addr() == b.Addr() || same && (any4(a) || any4(b) || any6(a) || any6(b)) || any6(a) && !b.Addr().Is6()
}

// Holder returns the narrowest subnet that contains addr, and the interface with that subnet.
func Holder(interfaces []Interface, addr netip.Addr) (name string, subnet netip.Prefix) {
	narrowest := -1
	for _, i := range interfaces {
		for _, p := range i.Prefixes {
			if !p.IsSingleIP() && p.Contains(addr) && p.Bits() > narrowest {
				name, subnet, narrowest = i.Name, p.Masked(), p.Bits()
			}
		}
	}
	return name, subnet
}

// Subnets returns the subnets of each interface that other machines can be in. It skips a virtual IP that this host holds,
// because a virtual IP says nothing about the network.
func Subnets(interfaces []Interface, virtual []api.VirtualIP) map[string][]netip.Prefix {
	all := map[string][]netip.Prefix{}
	for _, i := range interfaces {
		for _, p := range i.Prefixes {
			held := slices.ContainsFunc(virtual, func(v api.VirtualIP) bool { return v.Addr() == p.Addr() })
			if !held && !p.IsSingleIP() && !p.Addr().IsLoopback() && !p.Addr().IsLinkLocalUnicast() {
				all[i.Name] = append(all[i.Name], p.Masked())
			}
		}
	}
	return all
}

// OwnAddresses returns the addresses that this host's interfaces hold now.
func OwnAddresses(ctx context.Context, o NetworkReader) (map[netip.Addr]bool, error) {
	interfaces, err := o.Interfaces(ctx)
	own := map[netip.Addr]bool{}
	for _, i := range interfaces {
		for _, prefix := range i.Prefixes {
			own[prefix.Addr()] = true
		}
	}
	return own, err
}

// Router is a VRRP router on the link, as its advertisements describe it.
type Router struct {
	Family    api.Family
	Version   int          // VRRP version
	RouterID  int          // 1 to 255
	From      netip.Addr   // the router's own address; with IPv6 a link-local one
	MAC       string       // source MAC of its frames
	Priority  int          // 0 to 255
	Addresses []netip.Addr // virtual IPs, at most 255
	Interval  time.Duration
	Unicast   bool
	Admitted  bool // this host's firewall lets its advertisements through to keepalived
}

// NetworkReader reads interfaces, sockets and neighbours.
type NetworkReader interface {
	// Interfaces returns the network interfaces with their addresses, including loopback.
	Interfaces(ctx context.Context) ([]Interface, error)
	// Listeners returns the TCP sockets on which the processes listen.
	Listeners(ctx context.Context, pids ...int) ([]netip.AddrPort, error)
	// Sockets returns all listening TCP sockets of this host, with the programs that hold them.
	Sockets(ctx context.Context) ([]Socket, error)
	// Neighbours asks on an interface, by ARP and neighbour solicitations, which hosts hold these addresses. It returns the
	// MACs ("02:00:00:00:00:0a") of the hosts that answer within 300 ms, without this host. A running peer answers for its
	// own address; a host that holds a virtual IP answers for that.
	Neighbours(ctx context.Context, iface string, addrs []netip.Addr) (map[netip.Addr]string, error)
	// HearsRouter says whether another machine sends advertisements with one of these identities on an interface, from one
	// of these sources; without sources, from any. It returns at the first such advertisement, or after wait.
	HearsRouter(ctx context.Context, iface string, ids []vrrp.Identity, from []netip.Prefix, wait time.Duration) (bool, error)
	// Routers listens on an interface, for the duration listen, for VRRP routers of other machines.
	Routers(ctx context.Context, iface string, listen time.Duration) ([]Router, error)
}
