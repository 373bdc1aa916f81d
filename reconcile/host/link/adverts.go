package link

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/net/bpf"

	"rlb.dev/rlb-agent/api"
)

// Identity is what the routers of one virtual router have in common, on their link.
type Identity struct {
	Family   api.Family // of the packets, and of the addresses in them
	Version  int        // of the protocol: 2 or 3, with IPv6 always 3
	RouterID int        // 1 to 255
}

// HearAdverts calls heard for every VRRP advertisement of the identity that another machine sends, to the multicast group
// or to us, whatever the firewall does with it and whether keepalived runs or not. It wakes for nothing else.
// Authentication (VRRP 2) is not checked, and with that by AH nothing is heard.
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

// openAdverts opens a socket on which the advertisements of the identity come in. It does not speak IGMP or MLD: the
// IPv4 group is one that switches flood (RFC 4541 §2.1.2), and in the IPv6 one keepalived is as well.
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

// groupOf is the multicast group of the identity's routers.
func groupOf(id Identity) netip.Addr {
	if id.Family == api.IPv6 {
		return netip.AddrFrom16([16]byte{0: 0xff, 1: 2, 15: 0x12})
	}
	return netip.AddrFrom4([4]byte{224, 0, 0, 18})
}

// kind is the first octet of an advertisement: the version, and type 1.
func (id Identity) kind() byte { return byte(id.Version)<<4 | 1 }

// advertsByIPv4 keeps the identity's advertisements in IPv4 that another MAC than ours sent.
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

// advertsByIPv6 keeps the identity's advertisements in IPv6 that another MAC than ours sent.
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
