package state

import (
	"net/netip"
	"testing"
	"time"

	"rlb.dev/rlb-agent/render/vrrp"
)

// TestAfterGoodbye: in a pair the first goodbye is the last one. With more hosts, or without nodes, this host listens on.
func TestAfterGoodbye(t *testing.T) {
	f := &FormerRouter{Identities: []vrrp.Identity{{Period: 100 * time.Millisecond}}}
	for _, c := range []struct {
		in   *InForce
		want time.Duration
	}{
		{&InForce{Peers: make([]netip.Addr, 1)}, 0},
		{&InForce{Peers: make([]netip.Addr, 2)}, 200 * time.Millisecond},
		{&InForce{Peers: make([]netip.Addr, 6)}, 200 * time.Millisecond},
		{&InForce{}, 200 * time.Millisecond},
		{nil, 200 * time.Millisecond},
	} {
		if got := f.AfterGoodbye(c.in); got != c.want {
			t.Errorf("%+v: %v, want %v", c.in, got, c.want)
		}
	}
}
