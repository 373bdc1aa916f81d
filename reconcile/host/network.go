package host

import (
	"context"
	"net/netip"
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

// ownAddresses are all that this host's interfaces hold now.
func OwnAddresses(ctx context.Context, o Observer) (map[netip.Addr]bool, error) {
	interfaces, err := o.Interfaces(ctx)
	own := map[netip.Addr]bool{}
	for _, i := range interfaces {
		for _, prefix := range i.Prefixes {
			own[prefix.Addr()] = true
		}
	}
	return own, err
}
