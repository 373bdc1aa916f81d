package link

import (
	"encoding/binary"
	"net"
	"net/netip"
)

// claim is another machine's claim that an address is at a MAC: the sender of an ARP packet, or the target of a neighbour
// advertisement.
type claim struct {
	addr  netip.Addr
	mac   net.HardwareAddr
	alone bool // sent to us alone
}

// openClaims opens sockets for the claims of other machines to these addresses, one for each family with addresses.
func openClaims(l link, v4, v6 []netip.Addr) (arp, ndp *socket, err error) {
	if len(v4) > 0 {
		if arp, err = open(l, typeARP, claimsByARP(l.mac, v4)); err != nil {
			return nil, nil, err
		}
	}
	if len(v6) > 0 {
		if ndp, err = open(l, typeIPv6, claimsByNDP(l.mac, v6)); err != nil {
			if arp != nil {
				arp.file.Close()
			}
			return nil, nil, err
		}
	}
	return arp, ndp, nil
}

// Offsets in an Ethernet frame.
const (
	frameHeader = 14
	frameSource = 6

	arpSenderMAC = frameHeader + 8
	arpSenderIP  = frameHeader + 14
	arpEnd       = frameHeader + 28

	ip6Length = frameHeader + 4
	ip6Next   = frameHeader + 6
	ip6Hops   = frameHeader + 7
	ip6Source = frameHeader + 8
	ip6Target = frameHeader + 24
	ip6End    = frameHeader + 40

	ndpTarget  = ip6End + 8
	ndpOptions = ip6End + 24
)

// claimsByARP keeps ARP requests and replies whose sender has one of the addresses and a MAC other than ours.
func claimsByARP(own net.HardwareAddr, addrs []netip.Addr) program {
	var p program
	p.need(word, frameHeader, arpEthernetIPv4>>16)
	p.need(half, frameHeader+4, arpEthernetIPv4&0xffff)
	p.refuse(own, arpSenderMAC)
	p.keepAny(addrs, arpSenderIP)
	return p
}

// claimsByNDP keeps neighbour advertisements for one of the addresses that do not come from our own MAC.
func claimsByNDP(own net.HardwareAddr, addrs []netip.Addr) program {
	var p program
	p.need(octet, ip6Next, protocolICMPv6)
	p.need(octet, ip6Hops, 255)
	p.need(octet, ip6End, neighbourAdvertisement)
	p.refuse(own, frameSource)
	p.keepAny(addrs, ndpTarget)
	return p
}

// parseARP returns the claim of an ARP packet. An ARP probe claims nothing: its sender address is unspecified.
func parseARP(frame []byte) (claim, bool) {
	if len(frame) < arpEnd || binary.BigEndian.Uint16(frame[12:]) != typeARP {
		return claim{}, false
	}
	arp := frame[frameHeader:arpEnd]
	op := binary.BigEndian.Uint16(arp[6:])
	addr, mac := netip.AddrFrom4([4]byte(arp[14:])), net.HardwareAddr(append([]byte(nil), arp[8:14]...))
	if binary.BigEndian.Uint32(arp) != arpEthernetIPv4>>16 || binary.BigEndian.Uint16(arp[4:]) != arpEthernetIPv4&0xffff ||
		op != arpRequest && op != arpReply || addr.IsUnspecified() || !single(mac) {
		return claim{}, false
	}
	return claim{addr, mac, toUs(frame)}, true
}

// parseNDP returns the claim of a neighbour advertisement. It makes the checks of RFC 4861 §7.1.2.
func parseNDP(frame []byte) (claim, bool) {
	if len(frame) < ndpOptions || binary.BigEndian.Uint16(frame[12:]) != typeIPv6 || frame[frameHeader]>>4 != 6 {
		return claim{}, false
	}
	length := int(binary.BigEndian.Uint16(frame[ip6Length:]))
	if frame[ip6Next] != protocolICMPv6 || frame[ip6Hops] != 255 || length < ndpOptions-ip6End || len(frame) < ip6End+length {
		return claim{}, false
	}
	frame = frame[:ip6End+length] // short frames are padded
	addr := netip.AddrFrom16([16]byte(frame[ndpTarget:]))
	if frame[ip6End] != neighbourAdvertisement || frame[ip6End+1] != 0 || addr.IsMulticast() || addr.IsUnspecified() ||
		checksum(pseudoHeader6(frame), frame[ip6End:]) != 0 {
		return claim{}, false
	}
	mac := frame[frameSource : frameSource+6]
	for rest := frame[ndpOptions:]; len(rest) > 0; {
		if len(rest) < 8 || rest[1] == 0 || len(rest) < 8*int(rest[1]) {
			return claim{}, false
		}
		if rest[0] == optionTargetMAC && rest[1] == 1 {
			mac = rest[2:8]
		}
		rest = rest[8*int(rest[1]):]
	}
	c := claim{addr, net.HardwareAddr(append([]byte(nil), mac...)), toUs(frame)}
	return c, single(c.mac)
}

// toUs says whether a frame was sent to this host alone, and not to all hosts or a group.
func toUs(frame []byte) bool { return frame[0]&1 == 0 }

// single says whether a MAC belongs to one station.
func single(mac net.HardwareAddr) bool { return mac[0]&1 == 0 && mac.String() != "00:00:00:00:00:00" }
