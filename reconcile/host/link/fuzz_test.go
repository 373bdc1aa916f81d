package link

import (
	"slices"
	"testing"

	"rlb.dev/rlb-agent/api"
)

// FuzzParsers: the parsers stay within every frame, and accept nothing that the filters before them would drop.
func FuzzParsers(f *testing.F) {
	for _, frame := range []string{gratuitousARP, unsolicitedNA, advert2, advert3, advertU, advert6} {
		f.Add(bytesOf(frame))
	}
	f.Add(agentFrame(bytesOf("02000000000b"), Message{Body: []byte("hello"), Addition: []byte{1, 0}}))
	own := bytesOf("5a1377e2904c")
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) > 2048 {
			t.Skip("no frame")
		}
		if c, ok := parseARP(frame); ok && (!c.addr.Is4() || !single(c.mac) || !kept(t, claimsByARP(own, addrs(c.addr.String())), frame)) {
			t.Errorf("ARP: %v", c)
		}
		if c, ok := parseNDP(frame); ok && (!c.addr.Is6() || !single(c.mac) || !kept(t, claimsByNDP(own, addrs(c.addr.String())), frame)) {
			t.Errorf("ND: %v", c)
		}
		if message, ok := parseAgent(frame); ok && (len(message.Body) > maxAgentMessage || !kept(t, agentsBy(own), frame) && !slices.Equal(own, frame[frameSource:][:6])) {
			t.Errorf("agent: %x", message)
		}
		for _, at := range []int{ip4End, ip6End} {
			if len(frame) < at+2 {
				continue
			}
			for _, family := range api.Families {
				id := Identity{Family: family, Version: int(frame[at] >> 4), RouterID: int(frame[at+1])}
				filter := advertsByIPv4(own, id)
				if family == api.IPv6 {
					filter = advertsByIPv6(own, id)
				}
				if a, ok := parseAdvert(frame, id); ok && (a.Interval <= 0 || !a.From.IsValid() || !kept(t, filter, frame)) {
					t.Errorf("VRRP: %+v", a)
				}
			}
		}
	})
}

// FuzzReplies: the parser accepts only replies to its own probe, and the filter before it keeps every accepted reply.
func FuzzReplies(f *testing.F) {
	for _, frame := range []string{synAck4, synAck6} {
		f.Add(bytesOf(frame))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) > 2048 {
			t.Skip("no frame")
		}
		for _, reply := range []string{synAck4, synAck6} {
			parsed(t, askedFor(t, reply), frame)
		}
	})
}
