package link

import (
	"encoding/binary"
	"net/netip"
)

// Offsets in a frame with IPv4.
const (
	ip4Fragment = frameHeader + 6
	ip4TTL      = frameHeader + 8
	ip4Protocol = frameHeader + 9
	ip4Sum      = frameHeader + 10
	ip4Source   = frameHeader + 12
	ip4Target   = frameHeader + 16
	ip4End      = frameHeader + 20 // without options
	anyFragment = 0x3fff           // more fragments follow, or not the first
)

// payload4 returns the payload of an unfragmented IPv4 packet (RFC 791 §3.1) of a protocol, with its sender and receiver.
func payload4(frame []byte, protocol byte) (from, to netip.Addr, payload []byte, ok bool) {
	if len(frame) < ip4End || binary.BigEndian.Uint16(frame[12:]) != typeIPv4 || frame[frameHeader]>>4 != 4 ||
		frame[ip4Protocol] != protocol || binary.BigEndian.Uint16(frame[ip4Fragment:])&anyFragment != 0 {
		return from, to, nil, false
	}
	begin := frameHeader + 4*int(frame[frameHeader]&0xf)
	end := frameHeader + int(binary.BigEndian.Uint16(frame[frameHeader+2:]))
	if begin < ip4End || end < begin || len(frame) < end || checksum(frame[frameHeader:begin]) != 0 {
		return from, to, nil, false
	}
	return netip.AddrFrom4([4]byte(frame[ip4Source:])), netip.AddrFrom4([4]byte(frame[ip4Target:])), frame[begin:end], true
}

// payload6 does the same for an IPv6 packet (RFC 8200 §3) without extension headers.
func payload6(frame []byte, protocol byte) (from, to netip.Addr, payload []byte, ok bool) {
	if len(frame) < ip6End || binary.BigEndian.Uint16(frame[12:]) != typeIPv6 || frame[frameHeader]>>4 != 6 || frame[ip6Next] != protocol {
		return from, to, nil, false
	}
	end := ip6End + int(binary.BigEndian.Uint16(frame[ip6Length:]))
	if len(frame) < end {
		return from, to, nil, false
	}
	return netip.AddrFrom16([16]byte(frame[ip6Source:])), netip.AddrFrom16([16]byte(frame[ip6Target:])), frame[ip6End:end], true
}
