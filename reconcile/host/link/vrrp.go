package link

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"rlb.dev/rlb-agent/api"
)

// Advert is what a VRRP router says of itself.
type Advert struct {
	From     netip.Addr    // the router's own address; with IPv6 a link-local one
	Priority uint8         // 0 where it gives up, 255 where the addresses are its own
	Interval time.Duration // between its advertisements: whole seconds with version 2, hundredths with 3
	Unicast  bool          // it came to us alone, not to the group
	Count    int           // addresses in it
}

const (
	protocolVRRP = 112

	ip4Fragment = frameHeader + 6
	ip4TTL      = frameHeader + 8
	ip4Protocol = frameHeader + 9
	ip4Source   = frameHeader + 12
	ip4Target   = frameHeader + 16
	ip4End      = frameHeader + 20 // without options
	anyFragment = 0x3fff           // more to come, or not the first
)

// parseAdvert reads an advertisement of the identity, checked as RFC 9568 §7.1 and RFC 3768 §7.1 say. The addresses in it
// do not matter: those of a peer that was edited first may differ.
func parseAdvert(frame []byte, id Identity) (Advert, bool) {
	from, to, message, pseudo, ok := vrrpOf(frame, id.Family)
	if !ok || len(message) < 8 || message[0] != id.kind() || int(message[1]) != id.RouterID {
		return Advert{}, false
	}
	size := len(from.AsSlice())
	count := int(message[3])
	if count == 0 || len(message) < 8+count*size {
		return Advert{}, false
	}
	a := Advert{From: from, Priority: message[2], Unicast: !to.IsMulticast(), Count: count}
	if id.Version == 2 {
		a.Interval = time.Duration(message[5]) * time.Second
	} else {
		a.Interval = time.Duration(binary.BigEndian.Uint16(message[4:])&0xfff) * 10 * time.Millisecond
	}
	// version 2 has no pseudo-header; about that of version 3 in IPv4 routers differ
	good := checksum(pseudo, message) == 0
	if id.Family == api.IPv4 {
		good = id.Version == 3 && good || checksum(message) == 0
	}
	return a, good && a.Interval > 0
}

// vrrpOf is the VRRP message in a frame, with its sender, its receiver and the pseudo-header for its checksum.
func vrrpOf(frame []byte, family api.Family) (from, to netip.Addr, message, pseudo []byte, ok bool) {
	if family == api.IPv6 {
		if len(frame) < ip6End || binary.BigEndian.Uint16(frame[12:]) != typeIPv6 || frame[frameHeader]>>4 != 6 ||
			frame[ip6Next] != protocolVRRP || frame[ip6Hops] != 255 {
			return from, to, nil, nil, false
		}
		end := ip6End + int(binary.BigEndian.Uint16(frame[ip6Length:]))
		if len(frame) < end {
			return from, to, nil, nil, false
		}
		from, to = netip.AddrFrom16([16]byte(frame[ip6Source:])), netip.AddrFrom16([16]byte(frame[ip6Target:]))
		return from, to, frame[ip6End:end], pseudoHeader6(frame[:end]), true
	}
	if len(frame) < ip4End || binary.BigEndian.Uint16(frame[12:]) != typeIPv4 || frame[frameHeader]>>4 != 4 ||
		frame[ip4Protocol] != protocolVRRP || frame[ip4TTL] != 255 || binary.BigEndian.Uint16(frame[ip4Fragment:])&anyFragment != 0 {
		return from, to, nil, nil, false
	}
	begin := frameHeader + 4*int(frame[frameHeader]&0xf)
	end := frameHeader + int(binary.BigEndian.Uint16(frame[frameHeader+2:]))
	if begin < ip4End || end < begin || len(frame) < end || checksum(frame[frameHeader:begin]) != 0 {
		return from, to, nil, nil, false
	}
	from, to = netip.AddrFrom4([4]byte(frame[ip4Source:])), netip.AddrFrom4([4]byte(frame[ip4Target:]))
	pseudo = slices.Concat(frame[ip4Source:ip4End], []byte{0, protocolVRRP}, binary.BigEndian.AppendUint16(nil, uint16(end-begin)))
	return from, to, frame[begin:end], pseudo, true
}
