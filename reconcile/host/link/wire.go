//go:build linux

// Package link sees and says on an Ethernet what a holder of virtual IPs must: who answers for an address (ARP, RFC 826;
// Neighbour Discovery, RFC 4861), who else claims one, what VRRP routers advertise (RFC 3768, RFC 9568); and it
// follows the machine's own addresses by rtnetlink(7).
//
// All of it waits on sockets: where nothing happens nothing runs. Filters in the kernel (packet(7), SO_ATTACH_FILTER)
// let only those frames wake the process that are asked for. Packet sockets stand before the firewall, so that it
// hides nothing; HearAdmitted alone listens behind it. They need CAP_NET_RAW; an error then wraps fs.ErrPermission.
//
// A call that waits ends with ctx, without an error. When its interface goes down or away it ends with an error:
// WatchAddresses tells when it is worth another try.
package link

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// ErrNotEthernet is wrapped by the error for an interface that has no MACs: nobody there can be asked for an address.
var ErrNotEthernet = errors.New("not an Ethernet")

// link is an interface, as it was when looked at.
type link struct {
	name     string
	index    int
	mac      net.HardwareAddr
	prefixes []netip.Prefix     // its addresses, the primary ones first
	own      []net.HardwareAddr // the machine's own, all interfaces counted
}

// lookAt looks at an interface, which must be an Ethernet or look like one.
func lookAt(name string) (link, error) {
	all, err := net.Interfaces()
	if err != nil {
		return link{}, err
	}
	i := slices.IndexFunc(all, func(one net.Interface) bool { return one.Name == name })
	if i < 0 {
		return link{}, fmt.Errorf("there is no interface %s", name)
	}
	l := link{name: name, index: all[i].Index, mac: all[i].HardwareAddr}
	if len(l.mac) != 6 || bytes.Equal(l.mac, make([]byte, 6)) {
		return link{}, fmt.Errorf("%s is %w", name, ErrNotEthernet)
	}
	for _, one := range all {
		if len(one.HardwareAddr) == 6 && !virtual(one.HardwareAddr) {
			l.own = append(l.own, one.HardwareAddr)
		}
	}
	addrs, err := all[i].Addrs()
	if err != nil {
		return link{}, err
	}
	for _, addr := range addrs {
		if p, err := netip.ParsePrefix(addr.String()); err == nil {
			l.prefixes = append(l.prefixes, p)
		}
	}
	return l, nil
}

// virtual says whether a MAC is one of VRRP's (RFC 9568 §7.3). All holders of a virtual router use the same, so that it
// does not tell us from another; but frames of our own never come in.
func virtual(mac net.HardwareAddr) bool {
	return bytes.HasPrefix(mac, []byte{0, 0, 0x5e, 0, 1}) || bytes.HasPrefix(mac, []byte{0, 0, 0x5e, 0, 2})
}

// foreign says whether a MAC is another machine's.
func (l link) foreign(mac net.HardwareAddr) bool {
	return !slices.ContainsFunc(l.own, func(own net.HardwareAddr) bool { return bytes.Equal(own, mac) })
}

// sender is the address in whose name to ask for the target: none of those asked for, since asking is also a claim.
// Where there is none it is the unspecified one, as in a probe (RFC 5227 §2.1.1).
func (l link) sender(target netip.Addr, asked []netip.Addr) netip.Addr {
	for _, p := range l.prefixes {
		addr := p.Addr()
		switch {
		case slices.Contains(asked, addr) || addr.Is4() != target.Is4():
		case addr.Is4() && !p.IsSingleIP() && p.Contains(target):
			return addr
		case addr.Is6() && addr.IsLinkLocalUnicast():
			return addr
		}
	}
	if target.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// byFamily are the addresses, each once, by their family.
func byFamily(addrs []netip.Addr) (v4, v6 []netip.Addr) {
	for _, addr := range addrs {
		switch addr = addr.Unmap().WithZone(""); {
		case addr.Is4() && !slices.Contains(v4, addr):
			v4 = append(v4, addr)
		case addr.Is6() && !slices.Contains(v6, addr):
			v6 = append(v6, addr)
		}
	}
	return v4, v6
}
