package link

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/api"
)

// Recorded frames of keepalived 2.2.7 and of a Linux 6 kernel. The sender's MAC is macB.
const (
	advert2 = "01005e000012 02000000000b 0800 45c00028000100 00ff70b05cc6336402e0000012 21336401010112e6 c6336464 7365637265740000"
	advert3 = "01005e000012 02000000000b 0800 45c00024000100 00ff70b060c6336402e0000012 3134fe02000a70c2 c6336465 c6336466"
	advertU = "02000000000a 02000000000b 0800 45c00020000100 00ff706642c6336402c6336401 3136c80100328713 c6336467"
	advert6 = "333300000012 02000000000b 86dd 6c06319d001870ff fe800000000000000000000000000002 ff020000000000000000000000000012 " +
		"3135fe01000aa3e5 20010db8000000000000000000000100"
	gratuitousARP = "ffffffffffff 02000000000b 0806 0001080006040001 02000000000b c6336464 ffffffffffff c6336464"
	unsolicitedNA = "333300000001 02000000000b 86dd 6000000000203aff 20010db8000000000000000000000100 ff020000000000000000000000000001 " +
		"8800f72220000000 20010db8000000000000000000000100 020102000000000b"
)

func bytesOf(text string) []byte {
	raw, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		panic(err)
	}
	return raw
}

// with returns a copy of a frame with other octets at an offset.
func with(frame []byte, at int, octets ...byte) []byte {
	frame = slices.Clone(frame)
	copy(frame[at:], octets)
	return frame
}

var (
	id2 = Identity{Family: api.IPv4, Version: 2, RouterID: 51}
	id3 = Identity{Family: api.IPv4, Version: 3, RouterID: 52}
	idU = Identity{Family: api.IPv4, Version: 3, RouterID: 54}
	id6 = Identity{Family: api.IPv6, Version: 3, RouterID: 53}
)

func TestAdverts(t *testing.T) {
	v4, v6 := netip.MustParseAddr("198.51.100.2"), netip.MustParseAddr("fe80::2")
	for _, test := range []struct {
		name  string
		frame string
		id    Identity
		want  Advert
	}{
		{"version 2 with a password", advert2, id2, Advert{v4, 100, time.Second, false, 1}},
		{"version 3", advert3, id3, Advert{v4, 254, 100 * time.Millisecond, false, 2}},
		{"unicast", advertU, idU, Advert{v4, 200, 500 * time.Millisecond, true, 1}},
		{"IPv6", advert6, id6, Advert{v6, 254, 100 * time.Millisecond, false, 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			frame := bytesOf(test.frame)
			if got, ok := parseAdvert(frame, test.id); !ok || got != test.want {
				t.Errorf("%+v, %t", got, ok)
			}
			if got, ok := parseAdvert(append(slices.Clone(frame), 0, 0, 0), test.id); !ok || got != test.want {
				t.Errorf("padded: %+v, %t", got, ok)
			}
			for _, other := range []Identity{id2, id3, idU, id6} {
				if _, ok := parseAdvert(frame, other); ok && other != test.id {
					t.Errorf("taken for one of %+v", other)
				}
			}
			for n := range frame {
				if _, ok := parseAdvert(frame[:n], test.id); ok {
					t.Errorf("%d octets of %d are taken", n, len(frame))
				}
			}
			for n := range frame[frameHeader:] { // a checksum covers all relevant octets, or their value is fixed
				at := frameHeader + n
				_, ok := parseAdvert(with(frame, at, frame[at]^0x10), test.id)
				if unchecked := test.id == id6 && (at == frameHeader || at == frameHeader+1); ok != unchecked && at > frameHeader+3 {
					t.Errorf("octet %d may be another: %t", at, ok)
				}
			}
		})
	}
	// some routers include the pseudo-header in the IPv4 checksum, others do not
	frame := with(bytesOf(advert3), ip4End+6, 0, 0)
	binary.BigEndian.PutUint16(frame[ip4End+6:], checksum(frame[ip4End:]))
	if _, ok := parseAdvert(frame, id3); !ok {
		t.Error("without a pseudo-header it is not taken")
	}
	// an IP header with options
	frame = slices.Concat(bytesOf(advert3)[:ip4End], []byte{1, 1, 1, 1}, bytesOf(advert3)[ip4End:])
	frame[frameHeader], frame[frameHeader+3] = 0x46, frame[frameHeader+3]+4
	copy(frame[frameHeader+10:], []byte{0, 0})
	binary.BigEndian.PutUint16(frame[frameHeader+10:], checksum(frame[frameHeader:ip4End+4]))
	if _, ok := parseAdvert(frame, id3); !ok || !kept(t, advertsByIPv4(make([]byte, 6), id3), frame) {
		t.Error("with IP options it is not taken")
	}
}

func TestClaims(t *testing.T) {
	want4 := claim{addr: netip.MustParseAddr("198.51.100.100"), mac: bytesOf("02000000000b")}
	want6 := claim{addr: netip.MustParseAddr("2001:db8::100"), mac: want4.mac}
	same := func(a, b claim) bool { return a.addr == b.addr && slices.Equal(a.mac, b.mac) && a.alone == b.alone }
	arp, na := bytesOf(gratuitousARP), bytesOf(unsolicitedNA)
	if c, ok := parseARP(arp); !ok || !same(c, want4) {
		t.Errorf("%v, %t", c, ok)
	}
	if c, ok := parseNDP(na); !ok || !same(c, want6) {
		t.Errorf("%v, %t", c, ok)
	}
	// solicited, from a router, without the target's MAC
	short := resum(append(with(na, ip6Length, 0, 24)[:ndpOptions:ndpOptions], 0, 0))
	if c, ok := parseNDP(short); !ok || !same(c, want6) {
		t.Errorf("without options: %v, %t", c, ok)
	}
	for name, bad := range map[string][]byte{
		"a probe":              with(arp, arpSenderIP, 0, 0, 0, 0),
		"another operation":    with(arp, frameHeader+6, 0, 3),
		"another kind":         with(arp, frameHeader, 0, 6),
		"a multicast MAC":      with(arp, arpSenderMAC, 1),
		"no MAC":               with(arp, arpSenderMAC, 0, 0, 0, 0, 0, 0),
		"another type (ARP)":   with(arp, 12, 0x86, 0xdd),
		"a wrong checksum":     with(na, ip6End+2, 0, 0),
		"a router's":           resum(with(na, ip6Hops, 254)),
		"a solicitation":       resum(with(na, ip6End, 135)),
		"a code":               resum(with(na, ip6End+1, 1)),
		"a multicast target":   resum(with(na, ndpTarget, 0xff)),
		"an option of nothing": resum(with(na, ndpOptions, 2, 0)),
		"an option too long":   resum(with(na, ndpOptions, 2, 2)),
		"another type (ND)":    with(na, 12, 0x08, 0x06),
	} {
		if c, ok := parseARP(bad); ok {
			t.Errorf("%s claims %v", name, c)
		}
		if c, ok := parseNDP(bad); ok {
			t.Errorf("%s claims %v", name, c)
		}
	}
	for n := range arp {
		if _, ok := parseARP(arp[:n]); ok {
			t.Errorf("%d octets of ARP are taken", n)
		}
	}
	for n := range na {
		if _, ok := parseNDP(na[:n]); ok {
			t.Errorf("%d octets of ND are taken", n)
		}
	}
}

// resum returns an ICMPv6 frame with the correct checksum.
func resum(frame []byte) []byte {
	frame = with(frame, ip6End+2, 0, 0)
	end := ip6End + int(binary.BigEndian.Uint16(frame[ip6Length:]))
	binary.BigEndian.PutUint16(frame[ip6End+2:], checksum(pseudoHeader6(frame[:end]), frame[ip6End:end]))
	return frame
}

// TestFrames: our frames are identical to those of other programs, except for the target MAC in an ARP request, which has
// no meaning.
func TestFrames(t *testing.T) {
	mac := bytesOf("02000000000b")
	vip, vip6 := netip.MustParseAddr("198.51.100.100"), netip.MustParseAddr("2001:db8::100")
	for _, test := range []struct {
		name string
		got  []byte
		want string
	}{
		{"announcement", arpFrame(arpRequest, mac, vip, everyone, vip), gratuitousARP},
		{"unsolicited", unsolicited(link{name: "nosuch0", mac: mac}, vip6), unsolicitedNA},
		{"probe", whoHas(mac, netip.IPv4Unspecified(), vip),
			"ffffffffffff 02000000000b 0806 0001080006040001 02000000000b 00000000 000000000000 c6336464"},
		{"solicitation", whoHas(mac, netip.MustParseAddr("fe80::2"), vip6), "3333ff000100 02000000000b 86dd 6000000000203aff " +
			"fe800000000000000000000000000002 ff0200000000000000000001ff000100 87004958 00000000 20010db8000000000000000000000100 010102000000000b"},
	} {
		if !slices.Equal(test.got, bytesOf(test.want)) {
			t.Errorf("%s:\n%x, want\n%x", test.name, test.got, bytesOf(test.want))
		}
	}
}

func TestSender(t *testing.T) {
	var l link
	for _, p := range []string{"198.51.100.100/32", "198.51.100.101/24", "198.51.100.1/24", "203.0.113.1/24", "2001:db8::1/64", "fe80::1/64"} {
		l.prefixes = append(l.prefixes, netip.MustParsePrefix(p))
	}
	asked := addrs("198.51.100.101", "fe80::1")
	for target, want := range map[string]string{
		"198.51.100.2": "198.51.100.1", "198.51.100.101": "198.51.100.1", "203.0.113.2": "203.0.113.1", "192.0.2.1": "0.0.0.0",
		"2001:db8::2": "::",
	} {
		if got := l.sender(netip.MustParseAddr(target), asked); got.String() != want {
			t.Errorf("%s asks for %s, want %s", got, target, want)
		}
	}
	if got := l.sender(netip.MustParseAddr("2001:db8::2"), nil); got.String() != "fe80::1" {
		t.Errorf("%s asks", got)
	}
}
