package link

import (
	"context"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/api"
)

// TestHearAdverts: only advertisements of the right identity from other machines are reported, although our own network
// stack drops them: no other program there joins the group or receives the protocol.
func TestHearAdverts(t *testing.T) {
	a, b := cable(t)
	a.ip("link add near address 02:00:00:00:00:0c type veth peer name far") // another interface of ours
	for _, test := range []struct {
		id    Identity
		frame string
	}{{id2, advert2}, {id3, advert3}, {idU, advertU}, {id6, advert6}} {
		etherType := typeIPv4
		if test.id.Family == api.IPv6 {
			etherType = typeIPv6
		}
		heard := make(chan Advert, 100)
		end := a.in(t.Context(), func(ctx context.Context) error {
			return HearAdverts(ctx, "eth", test.id, func(advert Advert) { heard <- advert })
		})
		want, ok := parseAdvert(bytesOf(test.frame), test.id)
		if got := until(t, heard, func() { send(b, etherType, bytesOf(test.frame)) }); !ok || got != want {
			t.Errorf("%+v: heard %+v", test.id, got)
		}
		for len(heard) > 0 {
			<-heard
		}
		if group := groupOf(test.id).String(); !strings.Contains(a.ip("maddress show dev eth"), "link  "+groupMAC(groupOf(test.id)).String()) {
			t.Errorf("the interface does not take frames for %s", group)
		}
		for _, other := range []string{advert2, advert3, advertU, advert6} {
			if frame := bytesOf(other); other != test.frame {
				send(b, etherType, frame)
			} else {
				send(b, etherType, with(frame, len(frame)-1, 0xaa))  // wrong checksum
				send(b, etherType, with(frame, frameSource+5, 0x0a)) // as if we had sent it
				send(b, etherType, with(frame, frameSource+5, 0x0c))
				send(a, etherType, frame)
			}
		}
		send(b, etherType, bytesOf(test.frame))
		next(t, heard)
		select {
		case got := <-heard:
			t.Errorf("%+v: heard %+v as well", test.id, got)
		case <-time.After(20 * time.Millisecond):
		}
		end()
	}
}
