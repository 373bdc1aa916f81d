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

// Socket is a TCP socket that listens.
type Socket struct {
	Addr    netip.AddrPort
	PID     int    // a process that holds it; 0 where none can be seen
	Program string // its name
}

// AgentMessage is what agents say to each other (package peers): a report's message, and its addition.
type AgentMessage = struct{ Body, Addition []byte }

// Endpoint is a TCP port of an address as one machine of the link has it.
type Endpoint struct {
	MAC  string     // of the machine: "02:00:00:00:00:0a"
	From netip.Addr // the address of this host to ask from
	At   netip.AddrPort
}

// Reply is what a machine says to a TCP connection request.
type Reply int

// The replies.
const (
	Silent   Reply = iota // nothing: it does not hold the address, or drops the request
	Refused               // it holds the address, and nothing listens on the port
	Accepted              // a program listens
)

// Overlaps says whether another socket cannot listen beside this one. A wildcard of IPv6 may serve IPv4 too.
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

// Holder says which of the interfaces has a subnet that holds an address, and which subnet: the narrowest.
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

// Subnets are the subnets of each interface that other machines can be in. A virtual IP that is held just now says nothing
// of the network.
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

// OwnAddresses are all that this host's interfaces hold now.
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

// Router is a VRRP router on the link, as it advertises itself.
type Router struct {
	Family    api.Family
	Version   int          // of VRRP
	RouterID  int          // 1 to 255
	From      netip.Addr   // its own address; with IPv6 a link-local one
	MAC       string       // that its frames come from
	Priority  int          // 0 to 255
	Addresses []netip.Addr // virtual IPs, at most 255
	Interval  time.Duration
	Unicast   bool
	Admitted  bool // its advertisements get through the firewall of this host to keepalived
}

// NetworkReader looks at interfaces, sockets and neighbours.
type NetworkReader interface {
	// Interfaces are the network interfaces with their addresses, loopback included.
	Interfaces(ctx context.Context) ([]Interface, error)
	// Listeners are the TCP sockets on which the processes listen.
	Listeners(ctx context.Context, pids ...int) ([]netip.AddrPort, error)
	// Sockets are all TCP sockets that listen on this host, with the programs that hold them.
	Sockets(ctx context.Context) ([]Socket, error)
	// Neighbours asks on an interface, by ARP and neighbour solicitations, who holds these addresses: the MACs ("02:00:00:00:00:0a")
	// of those that answer within 300 ms, this host left out. A peer that is there answers for its own address; one that
	// holds a virtual IP answers for that.
	Neighbours(ctx context.Context, iface string, addrs []netip.Addr) (map[netip.Addr]string, error)
	// HearsRouter says whether another machine advertises itself under one of these identities on an interface, from one of
	// these sources; without sources, from anywhere. It ends with the first such advertisement, or after wait.
	HearsRouter(ctx context.Context, iface string, ids []vrrp.Identity, from []netip.Prefix, wait time.Duration) (bool, error)
	// Routers listens on an interface, for as long as listen, for the VRRP routers of other machines.
	Routers(ctx context.Context, iface string, listen time.Duration) ([]Router, error)
}
