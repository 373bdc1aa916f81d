package debian

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host/link"
	"rlb.dev/rlb-agent/render/vrrp"
)

// TestHearsEach: advertisements of only one family are not enough, nor those with priority 0, nor those that keepalived
// would drop.
func TestHearsEach(t *testing.T) {
	const period = 100 * time.Millisecond
	four := vrrp.Identity{Family: api.IPv4, Version: 3, RouterID: 51, Addresses: 2, Period: period}
	six := vrrp.Identity{Family: api.IPv6, Version: 3, RouterID: 51, Addresses: 1, Period: period}
	good := map[api.Family]link.Advert{api.IPv4: {Priority: 100, Interval: period, Count: 2}, api.IPv6: {Priority: 254, Interval: period, Count: 1}}
	but := func(family api.Family, a link.Advert) map[api.Family]link.Advert {
		other := map[api.Family]link.Advert{api.IPv4: good[api.IPv4], api.IPv6: good[api.IPv6]}
		other[family] = a
		return other
	}
	broken := errors.New("not permitted")
	for _, test := range []struct {
		name  string
		ids   []vrrp.Identity
		after time.Duration // until the first advertisement; further ones follow at each interval
		said  map[api.Family]link.Advert
		err   error
		want  bool
		most  time.Duration
	}{
		{"both", []vrrp.Identity{four, six}, period, good, nil, true, 2 * period},
		{"late", []vrrp.Identity{four}, 3 * period, good, nil, true, 3 * period},
		{"too late", []vrrp.Identity{four}, 4 * period, good, nil, false, 3*period + lateness},
		{"a goodbye", []vrrp.Identity{four, six}, period, but(api.IPv6, link.Advert{Interval: period, Count: 1}), nil, false, 4*period + lateness},
		{"another count", []vrrp.Identity{four, six}, period, but(api.IPv4, link.Advert{Priority: 100, Interval: period, Count: 1}), nil, false, 3*period + lateness},
		{"another transport", []vrrp.Identity{four}, period, but(api.IPv4, link.Advert{Priority: 100, Interval: period, Count: 2, Unicast: true}), nil, false, 3*period + lateness},
		{"no identity", nil, period, good, nil, false, 0},
		{"an error", []vrrp.Identity{four, six}, period, good, broken, false, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				by := func(ctx context.Context, _ string, id link.Identity, heard func(link.Advert)) error {
					if test.err != nil {
						return test.err
					}
					for pause := test.after; ; pause = period {
						select {
						case <-ctx.Done():
							return nil
						case <-time.After(pause):
							heard(test.said[id.Family])
						}
					}
				}
				began := time.Now()
				got, err := hearsEach(t.Context(), by, "eth0", test.ids)
				if took := time.Since(began); got != test.want || !errors.Is(err, test.err) || took > test.most {
					t.Errorf("%t, %v, after %v", got, err, took)
				}
			})
		})
	}
}

// TestOnly: with sources, advertisements from other addresses are ignored.
func TestOnly(t *testing.T) {
	node := []netip.Prefix{netip.MustParsePrefix("198.51.100.12/32")}
	subnet := []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	for _, test := range []struct {
		from   []netip.Prefix
		sender string
		want   bool
	}{
		{node, "198.51.100.12", true},
		{node, "198.51.100.66", false},
		{node, "fe80::66", false},
		{subnet, "198.51.100.66", true},
		{subnet, "203.0.113.1", false},
		{nil, "203.0.113.1", true},
	} {
		by := only(test.from, func(_ context.Context, _ string, _ link.Identity, heard func(link.Advert)) error {
			heard(link.Advert{From: netip.MustParseAddr(test.sender)})
			return nil
		})
		got := false
		if err := by(t.Context(), "eth0", link.Identity{}, func(link.Advert) { got = true }); err != nil || got != test.want {
			t.Errorf("%v from %s: heard %t, %v", test.from, test.sender, got, err)
		}
	}
}
