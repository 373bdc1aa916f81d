//go:build linux

// Package link sends and receives on an Ethernet what a holder of virtual IPs needs: which host answers for an address
// (ARP, RFC 826; Neighbour Discovery, RFC 4861), which other host claims one, and what VRRP routers advertise (RFC 3768,
// RFC 9568). It also follows the machine's own addresses by rtnetlink(7).
//
// All functions wait on sockets, and use no CPU while nothing happens. Filters in the kernel (packet(7), SO_ATTACH_FILTER)
// let only the needed frames wake the process. Packet sockets receive before the firewall; only HearAdmitted and
// HearAdmittedRouters receive behind it. They need CAP_NET_RAW; without it the error wraps fs.ErrPermission.
//
// A call that waits returns without an error when ctx ends, and with an error when its interface goes down or disappears:
// WatchAddresses reports when another try makes sense.
package link

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// ErrNotEthernet is wrapped by the error for an interface without MACs, on which no host can be asked for an address.
var ErrNotEthernet = errors.New("not an Ethernet")

// link describes an interface at the time of lookAt.
type link struct {
	name     string
	index    int
	mac      net.HardwareAddr
	prefixes []netip.Prefix     // its addresses, the primary ones first
	own      []net.HardwareAddr // MACs of this machine, of all interfaces
}

// lookAt reads an interface, which must be an Ethernet or look like one.
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

// virtual says whether a MAC is a VRRP one (RFC 9568 §7.3). All members of a virtual router use the same MAC, so it does
// not identify a machine. Our own frames are never received.
func virtual(mac net.HardwareAddr) bool {
	return bytes.HasPrefix(mac, []byte{0, 0, 0x5e, 0, 1}) || bytes.HasPrefix(mac, []byte{0, 0, 0x5e, 0, 2})
}

// foreign says whether a MAC belongs to another machine.
func (l link) foreign(mac net.HardwareAddr) bool {
	return !slices.ContainsFunc(l.own, func(own net.HardwareAddr) bool { return bytes.Equal(own, mac) })
}

// sender returns the source address for a request for target. It is none of the asked addresses, because a request is also
// a claim. If there is no suitable address, it is unspecified, as in a probe (RFC 5227 §2.1.1).
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

// byFamily splits addresses by family, without duplicates.
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
