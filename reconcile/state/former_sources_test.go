package state_test

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render/vrrp"
)

// TestFindSources: advertisements of the former router are accepted from the other nodes of its spec, or from the subnet.
func TestFindSources(t *testing.T) {
	const (
		spec = `apiVersion: rlb.dev/v1
kind: LoadBalancerSpec
virtualIPs: [198.51.100.10]
services: [{name: web, port: 9000, servers: [{address: 198.51.100.21}]}]
`
		nodes = "nodes: [{name: lb1, addresses: [198.51.100.11]}, {name: lb2, addresses: [198.51.100.2]}]\n"
	)
	const subnet = "198.51.100.0/24"
	multicast, unicast := vrrp.Identity{Family: api.IPv4}, vrrp.Identity{Family: api.IPv4, Unicast: true}
	six := vrrp.Identity{Family: api.IPv6}
	for name, test := range map[string]struct {
		text string
		ids  []vrrp.Identity
		want []string
	}{
		"nodes":             {spec + nodes, []vrrp.Identity{multicast}, []string{"198.51.100.2/32"}},
		"IPv6":              {spec + nodes, []vrrp.Identity{six}, []string{"198.51.100.2/32", "fe80::/10"}},
		"classic":           {spec + nodes + "profile: classic\n", []vrrp.Identity{multicast}, []string{"198.51.100.2/32", subnet}},
		"classic, unicast":  {spec + nodes + "profile: classic\n", []vrrp.Identity{unicast}, []string{"198.51.100.2/32"}},
		"without nodes":     {spec, []vrrp.Identity{multicast}, []string{subnet}},
		"without any spec":  {"", []vrrp.Identity{multicast}, []string{subnet}},
		"of another's file": {"", []vrrp.Identity{six}, []string{subnet, "fe80::/10"}},
	} {
		d := newDisk()
		if test.text != "" {
			doc, err := api.Parse("spec.yaml", []byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			m := state.NewMemory()
			if err := errors.Join(m.KeepGeneration(t.Context(), d, doc, nil, "", time.Now()), m.Save(t.Context(), d)); err != nil {
				t.Fatal(err)
			}
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
