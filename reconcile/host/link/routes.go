package link

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/jsimonetti/rtnetlink/v2"
	"golang.org/x/sys/unix"
)

// LocalRoutes returns the addresses of the local routes with this protocol number (rtnetlink(7), rtm_protocol), sorted.
func LocalRoutes(protocol uint8) ([]netip.Addr, error) {
	conn, err := rtnetlink.Dial(nil)
	if err != nil {
		return nil, fmt.Errorf("cannot list local routes: %w", err)
	}
	defer conn.Close()
	routes, err := conn.Route.List()
	if err != nil {
		return nil, fmt.Errorf("cannot list local routes: %w", err)
	}
	var all []netip.Addr
	for _, r := range routes {
		addr, ok := netip.AddrFromSlice(r.Attributes.Dst)
		if ok && r.Protocol == protocol && r.Type == unix.RTN_LOCAL {
			all = append(all, addr.Unmap())
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all), nil
}
