package link

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/net/bpf"

	"rlb.dev/rlb-agent/api"
)

// Identity is what the routers of one virtual router have in common on their link.
type Identity struct {
	Family   api.Family // of the packets and of the addresses in them
	Version  int        // VRRP version: 2 or 3, with IPv6 always 3
	RouterID int        // 1 to 255
}

// HearAdverts calls heard for every VRRP advertisement of the identity from another machine, sent to the multicast group or
// to this host, whether or not the firewall drops it and whether or not keepalived runs. Other packets do not wake it. It
// does not check authentication (VRRP 2), and does not see advertisements in IPsec AH.
func HearAdverts(ctx context.Context, iface string, id Identity, heard func(Advert)) error {
	if err := hearAdverts(ctx, iface, id, heard); err != nil {
		return fmt.Errorf("cannot hear VRRP advertisements on %s: %w", iface, err)
	}
	return nil
}

func hearAdverts(ctx context.Context, iface string, id Identity, heard func(Advert)) error {
	l, err := lookAt(iface)
	if err != nil {
		return err
	}
	s, err := openAdverts(l, id)
	if err != nil {
		return err
	}
	return gather(ctx, source{s, func(frame []byte) bool {
		if a, ok := parseAdvert(frame, id); ok && l.foreign(net.HardwareAddr(frame[frameSource:][:6])) {
			heard(a)
		}
		return false
	}})
}

// openAdverts opens a socket for the advertisements of the identity. It does not send IGMP or MLD reports: switches flood
// the IPv4 group (RFC 4541 §2.1.2), and keepalived joins the IPv6 group.
func openAdverts(l link, id Identity) (*socket, error) {
	etherType, filter := typeIPv4, advertsByIPv4(l.mac, id)
	if id.Family == api.IPv6 {
		etherType, filter = typeIPv6, advertsByIPv6(l.mac, id)
	}
	s, err := open(l, etherType, filter)
	if err != nil {
		return nil, err
	}
	if err := s.join(l, groupMAC(groupOf(id))); err != nil {
		s.file.Close()
		return nil, err
	}
	return s, nil
}

// groupOf returns the multicast group of the identity's routers.
func groupOf(id Identity) netip.Addr {
	if id.Family == api.IPv6 {
		return netip.AddrFrom16([16]byte{0: 0xff, 1: 2, 15: 0x12})
	}
	return netip.AddrFrom4([4]byte{224, 0, 0, 18})
}

// kind is the first octet of an advertisement: the version, and type 1.
func (id Identity) kind() byte { return byte(id.Version)<<4 | 1 }

// advertsByIPv4 keeps the identity's IPv4 advertisements that do not come from our own MAC.
func advertsByIPv4(own net.HardwareAddr, id Identity) program {
	var p program
	p.need(octet, ip4Protocol, protocolVRRP)
	p.need(octet, ip4TTL, 255)
	p.refuseFragments()
	p.refuse(own, frameSource)
	p.add(bpf.LoadMemShift{Off: frameHeader}) // the length of the IP header
	p.add(bpf.LoadIndirect{Off: frameHeader, Size: octet})
	p.needLoaded(uint32(id.kind()))
	p.add(bpf.LoadIndirect{Off: frameHeader + 1, Size: octet})
	p.needLoaded(uint32(id.RouterID))
	p.keep()
	return p
}

// advertsByIPv6 keeps the identity's IPv6 advertisements that do not come from our own MAC.
func advertsByIPv6(own net.HardwareAddr, id Identity) program {
	var p program
	p.need(octet, ip6Next, protocolVRRP)
	p.need(octet, ip6Hops, 255)
	p.need(octet, ip6End, uint32(id.kind()))
	p.need(octet, ip6End+1, uint32(id.RouterID))
	p.refuse(own, frameSource)
	p.keep()
	return p
}
