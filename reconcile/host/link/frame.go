package link

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
)

// Numbers of RFC 826, RFC 4861.
const (
	arpEthernetIPv4 = 0x0001_0800_0604 // types and lengths of the addresses
	arpRequest      = 1
	arpReply        = 2

	protocolICMPv6         = 58
	neighbourSolicitation  = 135
	neighbourAdvertisement = 136
	optionSourceMAC        = 1
	optionTargetMAC        = 2
)

var everyone = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// header returns an Ethernet header.
func header(to, from net.HardwareAddr, etherType uint16) []byte {
	return binary.BigEndian.AppendUint16(slices.Concat(to, from), etherType)
}

// arpFrame returns an ARP packet to all hosts on the link.
func arpFrame(op uint16, mac net.HardwareAddr, addr netip.Addr, targetMAC net.HardwareAddr, target netip.Addr) []byte {
	frame := header(everyone, mac, typeARP)
	frame = binary.BigEndian.AppendUint32(frame, arpEthernetIPv4>>16)
	frame = binary.BigEndian.AppendUint16(frame, arpEthernetIPv4&0xffff)
	frame = binary.BigEndian.AppendUint16(frame, op)
	return slices.Concat(frame, mac, addr.AsSlice(), targetMAC, target.AsSlice())
}

// whoHas returns a request for the MAC of an address.
func whoHas(mac net.HardwareAddr, from, target netip.Addr) []byte {
	if target.Is4() {
		return arpFrame(arpRequest, mac, from, make(net.HardwareAddr, 6), target)
	}
	to := solicitedNode(target)
	message := slices.Concat([]byte{neighbourSolicitation, 0, 0, 0, 0, 0, 0, 0}, target.AsSlice())
	if !from.IsUnspecified() {
		message = slices.Concat(message, []byte{optionSourceMAC, 1}, mac)
	}
	return icmp6Frame(mac, from, to, message)
}

// solicitedNode returns the multicast group on which the holder of an address listens (RFC 4291 §2.7.1).
func solicitedNode(addr netip.Addr) netip.Addr {
	raw := addr.As16()
	copy(raw[:], []byte{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff})
	return netip.AddrFrom16(raw)
}

// groupMAC returns the MAC of a multicast group (RFC 1112 §6.4, RFC 2464 §7).
func groupMAC(group netip.Addr) net.HardwareAddr {
	raw := group.AsSlice()
	if group.Is4() {
		return net.HardwareAddr{1, 0, 0x5e, raw[1] & 0x7f, raw[2], raw[3]}
	}
	return net.HardwareAddr{0x33, 0x33, raw[12], raw[13], raw[14], raw[15]}
}

// icmp6Frame returns an ICMPv6 message to a group on the link, with its checksum.
func icmp6Frame(mac net.HardwareAddr, from, to netip.Addr, message []byte) []byte {
	frame := header(groupMAC(to), mac, typeIPv6)
	frame = append(frame, 0x60, 0, 0, 0)
	frame = binary.BigEndian.AppendUint16(frame, uint16(len(message)))
	frame = append(frame, protocolICMPv6, 255)
	frame = slices.Concat(frame, from.AsSlice(), to.AsSlice(), message)
	binary.BigEndian.PutUint16(frame[ip6End+2:], checksum(pseudoHeader6(frame), frame[ip6End:]))
	return frame
}

// pseudoHeader6 returns the pseudo-header that the checksum of an IPv6 packet covers besides the payload (RFC 8200 §8.1).
func pseudoHeader6(frame []byte) []byte {
	length := uint32(len(frame) - ip6End)
	return slices.Concat(frame[ip6Source:ip6End], binary.BigEndian.AppendUint32(nil, length), []byte{0, 0, 0, frame[ip6Next]})
}

// checksum computes the Internet checksum (RFC 1071) over several parts; only the last may have an odd length. Over data
// that contains its own checksum the result is 0.
func checksum(parts ...[]byte) uint16 {
	var sum uint32
	for _, part := range parts {
		for ; len(part) >= 2; part = part[2:] {
			sum += uint32(binary.BigEndian.Uint16(part))
		}
		if len(part) == 1 {
			sum += uint32(part[0]) << 8
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
