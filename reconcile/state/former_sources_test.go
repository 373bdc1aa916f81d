package state_test

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render/vrrp"
)

const (
	oneService = `apiVersion: rlb.dev/v1
kind: LoadBalancerSpec
virtualIPs: [198.51.100.10]
services: [{name: web, port: 9000, servers: [{address: 198.51.100.21}]}]
`
	twoNodes = "nodes: [{name: lb1, addresses: [198.51.100.11]}, {name: lb2, addresses: [198.51.100.2]}]\n"
)

// inForce makes a spec the one in force.
func inForce(t *testing.T, d *disk, text string) {
	t.Helper()
	doc, err := api.Parse("spec.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	m := state.NewMemory()
	if err := errors.Join(m.KeepGeneration(t.Context(), d, doc, nil, "", time.Now()), m.Save(t.Context(), d)); err != nil {
		t.Fatal(err)
	}
}

// TestFindSources: advertisements of the former router are accepted from the other nodes of its spec, or from the subnet.
func TestFindSources(t *testing.T) {
	const subnet = "198.51.100.0/24"
	multicast, unicast := vrrp.Identity{Family: api.IPv4}, vrrp.Identity{Family: api.IPv4, Unicast: true}
	six := vrrp.Identity{Family: api.IPv6}
	for name, test := range map[string]struct {
		text string
		ids  []vrrp.Identity
		want []string
	}{
		"nodes":             {oneService + twoNodes, []vrrp.Identity{multicast}, []string{"198.51.100.2/32"}},
		"IPv6":              {oneService + twoNodes, []vrrp.Identity{six}, []string{"198.51.100.2/32", "fe80::/10"}},
		"classic":           {oneService + twoNodes + "profile: classic\n", []vrrp.Identity{multicast}, []string{"198.51.100.2/32", subnet}},
		"classic, unicast":  {oneService + twoNodes + "profile: classic\n", []vrrp.Identity{unicast}, []string{"198.51.100.2/32"}},
		"without nodes":     {oneService, []vrrp.Identity{multicast}, []string{subnet}},
		"without any spec":  {"", []vrrp.Identity{multicast}, []string{subnet}},
		"of another's file": {"", []vrrp.Identity{six}, []string{subnet, "fe80::/10"}},
	} {
		d := newDisk()
		if test.text != "" {
			inForce(t, d, test.text)
		}
		f := &state.FormerRouter{Interface: "eth0", Identities: test.ids, From: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
		if err := f.FindSources(t.Context(), d); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var got []string
		for _, p := range f.From {
			if !p.Addr().Is6() || p.Bits() == 10 {
				got = append(got, p.String())
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

// TestFindBackup: the master of a router listens until a backup that missed its goodbye has taken over, unless no other node
// answers on the link. A backup listens for two advertisements of the master, because one can be lost.
func TestFindBackup(t *testing.T) {
	peer, vip := netip.MustParseAddr("198.51.100.2"), netip.MustParsePrefix("198.51.100.10/32")
	for name, test := range map[string]struct {
		text         string
		holds, there bool
		unasked      error
		want         time.Duration
	}{
		"a master":                 {oneService + twoNodes, true, true, nil, 400 * time.Millisecond},
		"a backup":                 {oneService + twoNodes, false, true, nil, 300 * time.Millisecond},
		"a master, alone":          {oneService + twoNodes, true, false, nil, 300 * time.Millisecond},
		"a master, and no socket":  {oneService + twoNodes, true, false, host.ErrUnavailable, 400 * time.Millisecond},
		"a master without nodes":   {oneService, true, false, nil, 400 * time.Millisecond},
		"no spec, so nobody knows": {"", false, false, nil, 400 * time.Millisecond},
	} {
		d := newDisk()
		if test.text != "" {
			inForce(t, d, test.text)
		}
		if test.holds {
			d.Net[1].Prefixes = append(d.Net[1].Prefixes, vip)
		}
		if test.there {
			d.Answers = map[netip.Addr]string{peer: "02:00:00:00:00:0b"}
		}
		d.unasked = test.unasked
		f := &state.FormerRouter{Interface: "eth0", Identities: []vrrp.Identity{{Family: api.IPv4, Period: 100 * time.Millisecond}}}
		if err := errors.Join(f.FindSources(t.Context(), d), f.FindBackup(t.Context(), d)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := f.AfterLeaving(); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}
