package link

import (
	"context"
	"encoding/binary"
	"os/exec"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/api"
)

// ways holds one channel for each way to receive advertisements.
type ways struct{ frames, packets chan Advert }

func hearBoth(t *testing.T, s space, iface string, id Identity) (heard ways) {
	heard = ways{make(chan Advert, 100), make(chan Advert, 100)}
	t.Cleanup(s.in(t.Context(), func(ctx context.Context) error {
		return HearAdverts(ctx, iface, id, func(a Advert) { heard.frames <- a })
	}))
	t.Cleanup(s.in(t.Context(), func(ctx context.Context) error {
		return HearAdmitted(ctx, iface, id, func(a Advert) { heard.packets <- a })
	}))
	return heard
}

// unheard fails the test if an advertisement arrives within 50 ms.
func unheard(t *testing.T, what string, heard <-chan Advert) {
	t.Helper()
	select {
	case got := <-heard:
		t.Errorf("%s: heard %+v", what, got)
	case <-time.After(50 * time.Millisecond):
	}
}

// TestHearAdmitted: HearAdmitted does not report what the firewall drops, although a packet socket receives it, nor what
// keepalived would drop for another reason.
func TestHearAdmitted(t *testing.T) {
	a, b := cable(t)
	for _, program := range []string{"iptables", "ip6tables"} {
		if _, err := exec.LookPath(program); err != nil {
			skipFor(t, "a firewall needs "+program)
		}
	}
	for _, test := range []struct {
		name, frame string
		id          Identity
	}{{"version 2", advert2, id2}, {"version 3", advert3, id3}, {"unicast", advertU, idU}, {"IPv6", advert6, id6}} {
		t.Run(test.name, func(t *testing.T) {
			etherType, firewall, frame := typeIPv4, "iptables", bytesOf(test.frame)
			if test.id.Family == api.IPv6 {
				etherType, firewall = typeIPv6, "ip6tables"
			}
			heard := hearBoth(t, a, "eth", test.id)
			want, _ := parseAdvert(frame, test.id)
			clear := func() {
				time.Sleep(50 * time.Millisecond)
				for len(heard.packets) > 0 {
					<-heard.packets
				}
				for len(heard.frames) > 0 {
					<-heard.frames
				}
			}
			if got := until(t, heard.packets, func() { send(b, etherType, frame) }); got != want {
				t.Errorf("heard %+v, want %+v", got, want)
			}
			until(t, heard.frames, func() { send(b, etherType, frame) })
			if group := groupOf(test.id).String(); !strings.Contains(a.ip("maddress show dev eth"), " "+group+"\n") {
				t.Errorf("the interface is not in %s", group)
			}
			clear()

			a.run(firewall, "-A INPUT -p 112 -j DROP")
			send(b, etherType, frame)
			if got := next(t, heard.frames); got != want {
				t.Errorf("before the firewall: heard %+v", got)
			}
			unheard(t, "behind the firewall", heard.packets)
			a.run(firewall, "-D INPUT -p 112 -j DROP")
			clear()

			for _, other := range []string{advert2, advert3, advertU, advert6} {
				if other != test.frame {
					send(b, etherType, bytesOf(other))
				}
			}
			send(b, etherType, with(frame, len(frame)-1, 0xaa), farther(frame))
			unheard(t, "another's", heard.packets)
			send(b, etherType, frame)
			next(t, heard.packets)
		})
	}
}

// farther makes an advertisement that passed a router (TTL or hop limit 254).
func farther(frame []byte) []byte {
	if frame[12] == 0x86 {
		return with(frame, ip6Hops, 254)
	}
	frame = with(frame, ip4TTL, 254)
	binary.BigEndian.PutUint16(frame[frameHeader+10:], 0)
	binary.BigEndian.PutUint16(frame[frameHeader+10:], checksum(frame[frameHeader:ip4End]))
	return frame
}

// TestHearAdmittedElsewhere: advertisements from another interface, or from one of our own addresses, are not reported.
func TestHearAdmittedElsewhere(t *testing.T) {
	a, b := cable(t)
	a.ip("link add near type veth peer name far", "link set near addrgenmode none", "link set far addrgenmode none", "link set near up", "link set far up")
	frame := bytesOf(advert6)
	eth, near := hearBoth(t, a, "eth", id6), hearBoth(t, a, "near", id6)
	until(t, eth.packets, func() { send(b, typeIPv6, frame) })
	until(t, near.packets, func() { sendBy(a, "far", typeIPv6, frame) })
	time.Sleep(50 * time.Millisecond)
	for len(eth.packets) > 0 {
		<-eth.packets
	}
	sendBy(a, "far", typeIPv6, frame)
	next(t, near.packets)
	unheard(t, "by another interface", eth.packets)

	frame = with(frame, ip6Source+15, 1)
	frame = with(frame, ip6End+6, 0, 0)
	binary.BigEndian.PutUint16(frame[ip6End+6:], checksum(pseudoHeader6(frame), frame[ip6End:]))
	if _, ok := parseAdvert(frame, id6); !ok {
		t.Fatal("that is no advertisement")
	}
	send(b, typeIPv6, frame)
	unheard(t, "from an address of our own", eth.packets)
	a.do(func() error {
		wantError(t, HearAdmitted(t.Context(), "nosuch0", id6, nil), "cannot hear the VRRP advertisements that the firewall lets in on nosuch0: there is no interface nosuch0")
		return nil
	})
}
