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

// TestHearsEach: one family alone that passes is not enough, nor a goodbye, nor what keepalived would drop.
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
		after time.Duration // until the first comes, one more each interval
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

// TestAwaitSilence: of two hosts the first goodbye is the end; of three and seven, those that are left take over one after
// the other, and the last goodbye is.
func TestAwaitSilence(t *testing.T) {
	const period, skew = 100 * time.Millisecond, 3 * time.Millisecond
	id := vrrp.Identity{Family: api.IPv4, Version: 3, RouterID: 51, Addresses: 1, Period: period}
	for _, test := range []struct {
		name         string
		routers      int // that are left, each one master for a while
		goodbyes     bool
		afterGoodbye time.Duration
		late         time.Duration // after the last word, at most
	}{
		{"of two", 1, true, 0, 0},
		{"of three", 2, true, 200 * time.Millisecond, 200 * time.Millisecond},
		{"of seven", 6, true, 200 * time.Millisecond, 200 * time.Millisecond},
		{"of seven that crash", 6, false, 200 * time.Millisecond, 400 * time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var last time.Time
				by := func(ctx context.Context, _ string, _ link.Identity, heard func(link.Advert)) error {
					say := func(priority uint8) {
						if ctx.Err() != nil {
							t.Error("it ended while a router was left")
						}
						last = time.Now()
						heard(link.Advert{Priority: priority, Interval: period, Count: 1})
					}
					for range test.routers {
						for range 5 {
							say(254)
							time.Sleep(period)
						}
						if test.goodbyes {
							say(0)
							time.Sleep(skew)
							continue
						}
						time.Sleep(2*period + skew)
					}
					<-ctx.Done()
					return nil
				}
				silent, err := awaitSilence(t.Context(), by, Silence{
					Interface: "eth0", Identities: []vrrp.Identity{id}, Silence: 4 * period, AfterGoodbye: test.afterGoodbye,
					Held: func(context.Context) (bool, error) { return true, nil },
				})
				if late := time.Since(last); err != nil || !silent || late > test.late+skew {
					t.Errorf("%v, %v after the last word", err, late)
				}
			})
		})
	}
}

// TestAwaitSilenceForged: a stream of advertisements without end keeps no host out, unless they are a peer's who holds the
// virtual IPs. A backup that becomes master has the time to.
func TestAwaitSilenceForged(t *testing.T) {
	const period, forever = 100 * time.Millisecond, time.Hour
	id := vrrp.Identity{Family: api.IPv4, Version: 3, RouterID: 51, Addresses: 1, Period: period}
	node, stranger := netip.MustParseAddr("198.51.100.12"), netip.MustParseAddr("198.51.100.66")
	nodes := []netip.Prefix{netip.PrefixFrom(node, 32)}
	subnet := []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	broken := errors.New("no such device")
	for _, test := range []struct {
		name    string
		from    []netip.Prefix
		sender  netip.Addr
		silence time.Duration
		holds   func(time.Duration) (bool, error) // after so long
		want    time.Duration
		silent  bool
	}{
		{"a stranger, with nodes", nodes, stranger, 4 * period, func(time.Duration) (bool, error) { return true, nil }, 4 * period, true},
		{"from another subnet", subnet, netip.MustParseAddr("203.0.113.1"), 4 * period, nil, 4 * period, true},
		{"of IPv6", nodes, netip.MustParseAddr("fe80::66"), 4 * period, nil, 4 * period, true},
		{"in a node's name", nodes, node, 4 * period, nil, 2 * time.Second, false},
		{"without nodes", subnet, stranger, 4 * period, nil, 2 * time.Second, false},
		{"from anywhere", nil, stranger, 4 * period, nil, 2 * time.Second, false},
		{"beside a peer that is master", nodes, node, 4 * period, func(d time.Duration) (bool, error) { return d < 20*time.Second, nil }, 22 * time.Second, false},
		{"beside a failover of the peers", subnet, stranger, 4 * time.Second, func(d time.Duration) (bool, error) { return d > 3600*time.Millisecond, nil }, forever, false},
		{"where nobody can look for a holder", nodes, node, 4 * period, func(time.Duration) (bool, error) { return false, broken }, forever, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), forever)
				defer cancel()
				by := func(ctx context.Context, _ string, _ link.Identity, heard func(link.Advert)) error {
					for ctx.Err() == nil {
						heard(link.Advert{From: test.sender, Priority: 255, Interval: period, Count: 1})
						time.Sleep(period / 10)
					}
					return nil
				}
				began := time.Now()
				silent, err := awaitSilence(ctx, by, Silence{
					Interface: "eth0", Identities: []vrrp.Identity{id}, From: test.from, Silence: test.silence,
					Held: func(context.Context) (bool, error) {
						if test.holds == nil {
							return false, nil
						}
						return test.holds(time.Since(began))
					},
				})
				took := time.Since(began)
				if took < test.want || took > test.want+period || test.want < forever && (err != nil || silent != test.silent) {
					t.Errorf("%t, %v, after %v", silent, err, took)
				}
			})
		})
	}
}
