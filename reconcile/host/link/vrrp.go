package link

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"rlb.dev/rlb-agent/api"
)

// Advert is the content of a VRRP advertisement.
type Advert struct {
	From     netip.Addr    // the router's own address; with IPv6 a link-local one
	Priority uint8         // 0 if the router gives up the addresses, 255 if it owns them
	Interval time.Duration // advertisement interval: whole seconds in version 2, hundredths of a second in 3
	Unicast  bool          // sent to this host alone, not to the group
	Count    int           // number of addresses
}

const protocolVRRP = 112

// parseAdvert parses an advertisement of the identity, with the checks of RFC 9568 §7.1 and RFC 3768 §7.1. It ignores the
// addresses: those of a peer whose configuration was changed first can differ.
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
	// version 2 has no pseudo-header; with version 3 in IPv4 some routers include it, others do not
	good := checksum(pseudo, message) == 0
	if id.Family == api.IPv4 {
		good = id.Version == 3 && good || checksum(message) == 0
	}
	return a, good && a.Interval > 0
}

// vrrpOf returns the VRRP message in a frame, with its sender, its receiver and the pseudo-header for its checksum.
func vrrpOf(frame []byte, family api.Family) (from, to netip.Addr, message, pseudo []byte, ok bool) {
	if family == api.IPv6 {
		from, to, message, ok = payload6(frame, protocolVRRP)
		if !ok || frame[ip6Hops] != 255 {
			return from, to, nil, nil, false
		}
		return from, to, message, pseudoHeader6(frame[:ip6End+len(message)]), true
	}
	from, to, message, ok = payload4(frame, protocolVRRP)
	if !ok || frame[ip4TTL] != 255 {
		return from, to, nil, nil, false
	}
	pseudo = slices.Concat(frame[ip4Source:ip4End], []byte{0, protocolVRRP}, binary.BigEndian.AppendUint16(nil, uint16(len(message))))
	return from, to, message, pseudo, true
}
