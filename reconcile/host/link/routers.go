package link

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"rlb.dev/rlb-agent/api"
)

// Router is a VRRP router of any identity, as its advertisements describe it.
type Router struct {
	Identity
	Advert
	MAC       net.HardwareAddr // source of the frame; nil if unknown
	Addresses []netip.Addr     // virtual IPs
}

// HearRouters calls heard for every VRRP advertisement of a family from another machine, whatever its identity, and whether
// or not the firewall drops it.
func HearRouters(ctx context.Context, iface string, family api.Family, heard func(Router)) error {
	if err := hearRouters(ctx, iface, family, heard); err != nil {
		return fmt.Errorf("cannot hear VRRP routers on %s: %w", iface, err)
	}
	return nil
}

func hearRouters(ctx context.Context, iface string, family api.Family, heard func(Router)) error {
	l, err := lookAt(iface)
	if err != nil {
		return err
	}
	etherType, filter := typeIPv4, routersBy(l.mac, ip4Protocol)
	if family == api.IPv6 {
		etherType, filter = typeIPv6, routersBy(l.mac, ip6Next)
	}
	s, err := open(l, etherType, filter)
	if err != nil {
		return err
	}
	if err := s.join(l, groupMAC(groupOf(Identity{Family: family}))); err != nil {
		s.file.Close()
		return err
	}
	return gather(ctx, source{s, func(frame []byte) bool {
		r, ok := parseRouter(frame, family)
		if mac := net.HardwareAddr(frame[frameSource:][:6]); ok && l.foreign(mac) {
			r.MAC = append(r.MAC, mac...)
			heard(r)
		}
		return false
	}})
}

// HearAdmittedRouters is like HearRouters, but only for advertisements that the firewall lets through to keepalived. The
// MACs are unknown.
func HearAdmittedRouters(ctx context.Context, iface string, family api.Family, heard func(Router)) error {
	err := receiveAdmitted(ctx, iface, Identity{Family: family}, func(frame []byte) (netip.Addr, func()) {
		r, ok := parseRouter(frame, family)
		if !ok {
			return netip.Addr{}, nil
		}
		return r.From, func() { heard(r) }
	})
	if err != nil {
		return fmt.Errorf("cannot hear the VRRP routers that the firewall lets in on %s: %w", iface, err)
	}
	return nil
}

// routersBy keeps VRRP that does not come from our own MAC. protocol is the offset of the protocol number.
func routersBy(own net.HardwareAddr, protocol uint32) program {
	var p program
	p.need(octet, protocol, protocolVRRP)
	p.refuse(own, frameSource)
	p.keep()
	return p
}

// parseRouter parses an advertisement of any identity.
func parseRouter(frame []byte, family api.Family) (Router, bool) {
	_, _, message, _, ok := vrrpOf(frame, family)
	if !ok || len(message) < 8 || message[0]>>4 != 2 && message[0]>>4 != 3 {
		return Router{}, false
	}
	r := Router{Identity: Identity{Family: family, Version: int(message[0] >> 4), RouterID: int(message[1])}}
	if r.Advert, ok = parseAdvert(frame, r.Identity); !ok {
		return Router{}, false
	}
	size := len(r.From.AsSlice())
	for i := range r.Count { // parseAdvert has checked the length
		addr, _ := netip.AddrFromSlice(message[8+i*size:][:size])
		r.Addresses = append(r.Addresses, addr)
	}
	return r, true
}
