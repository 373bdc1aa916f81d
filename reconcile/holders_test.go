package reconcile_test

import (
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/plan"
)

const (
	strangerMAC = "02:00:00:00:00:66"
	peerMAC     = "02:00:00:00:00:12"
)

func answering(pairs ...string) map[netip.Addr]string {
	all := map[netip.Addr]string{}
	for i := 0; i < len(pairs); i += 2 {
		all[netip.MustParseAddr(pairs[i])] = pairs[i+1]
	}
	return all
}

// TestOtherHolders: a virtual IP that another machine has is not taken. Nothing is changed, and the error names the MAC and
// the ways out. A peer, a router of the same virtual router and a machine in takeOver may have it.
func TestOtherHolders(t *testing.T) {
	const secondVIP = "198.51.100.9"
	two := strings.Replace(spec, "[198.51.100.10]", "[198.51.100.10, "+secondVIP+"]", 1)
	elsewhere := strings.Replace(spec, "[198.51.100.10]", "[198.51.100.10, {address: 203.0.113.9/24, interface: eth1}]", 1)
	router := func(id int, mac string, addrs ...string) host.Router {
		r := host.Router{Family: api.IPv4, Version: 2, RouterID: id, MAC: mac}
		for _, a := range addrs {
			r.Addresses = append(r.Addresses, netip.MustParseAddr(a))
		}
		return r
	}
	for name, test := range map[string]struct {
		before   string // in force before the new spec; "" for a first run
		spec     string
		answers  map[netip.Addr]string
		routers  []host.Router
		takeOver []string
		fail     error
		refused  string // "" if the spec is accepted
	}{
		"free":                     {spec: spec},
		"stranger":                 {spec: spec, answers: answering("198.51.100.10", strangerMAC), refused: "virtualIPs[0]: another machine has 198.51.100.10: MAC " + strangerMAC},
		"stranger beside nodes":    {spec: spec + pairNodes, answers: answering("198.51.100.10", strangerMAC, "198.51.100.12", peerMAC), refused: "--take-over " + strangerMAC},
		"node":                     {spec: spec + pairNodes, answers: answering("198.51.100.10", peerMAC, "198.51.100.12", peerMAC)},
		"router":                   {spec: spec, answers: answering("198.51.100.10", peerMAC), routers: []host.Router{router(10, peerMAC, "198.51.100.10")}},
		"router before the edit":   {spec: spec, answers: answering("198.51.100.10", peerMAC), routers: []host.Router{router(10, peerMAC)}},
		"another router":           {spec: spec, answers: answering("198.51.100.10", strangerMAC), routers: []host.Router{router(99, strangerMAC, "198.51.100.10")}, refused: strangerMAC},
		"stranger beside a router": {spec: spec, answers: answering("198.51.100.10", strangerMAC), routers: []host.Router{router(10, peerMAC, "198.51.100.7")}, refused: strangerMAC},
		"given up":                 {spec: spec, answers: answering("198.51.100.10", strangerMAC), takeOver: []string{strangerMAC}},
		"another is given up":      {spec: spec, answers: answering("198.51.100.10", strangerMAC), takeOver: []string{peerMAC}, refused: strangerMAC},
		"a second one":             {before: spec, spec: two, answers: answering(secondVIP, strangerMAC), refused: "virtualIPs[1]: another machine has " + secondVIP},
		"in force already":         {before: spec, spec: strings.Replace(spec, "9000", "9001", 1), answers: answering("198.51.100.10", strangerMAC)},
		"elsewhere":                {spec: elsewhere, answers: answering("203.0.113.9", strangerMAC), refused: "answers for it on eth1"},
		"elsewhere, advertised":    {spec: elsewhere, answers: answering("203.0.113.9", "02:00:00:00:01:12"), routers: []host.Router{router(10, peerMAC, "203.0.113.9")}},
		"no Ethernet":              {spec: spec, answers: answering("198.51.100.10", strangerMAC), fail: host.ErrUnavailable},
		"nobody can be asked":      {spec: spec, fail: errors.New("network is down"), refused: "cannot tell whether another machine has 198.51.100.10: network is down"},
	} {
		t.Run(name, func(t *testing.T) {
			h := fake.New()
			h.Net = append(h.Net, host.Interface{Name: "eth1", Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.1/24")}})
			if test.before != "" {
				must(t, h, parse(t, test.before))
			}
			h.Answers, h.OnLink = test.answers, test.routers
			h.FailMethod("Neighbours", test.fail)
			before := h.Dump()
			var err error
			synctest.Test(t, func(t *testing.T) {
				r := reconcile.Reconciler{Host: h, Log: slog.New(slog.DiscardHandler), TakeOver: test.takeOver}
				_, err = r.Once(t.Context(), parse(t, test.spec))
			})
			if test.refused == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if field := (*plan.FieldError)(nil); !errors.As(err, &field) || !strings.Contains(err.Error(), test.refused) || !strings.HasPrefix(err.Error(), "spec.yaml:3:") {
				t.Errorf("%v; want %q", err, test.refused)
			}
			same(t, "a refusal", h, before)
		})
	}
}

// TestOtherHoldersGo: an address that this host already holds is no new claim. After a refusal the same spec is accepted
// once the other machine is gone.
func TestOtherHoldersGo(t *testing.T) {
	h := fake.New()
	h.Answers = answering("198.51.100.10", strangerMAC)
	if _, _, err := once(t, h, parse(t, spec)); err == nil {
		t.Fatal("taken")
	}
	held := h.Clone()
	hold(held, "198.51.100.10")
	held.Role = host.RoleMaster
	must(t, held, parse(t, spec))
	maps.DeleteFunc(h.Answers, func(netip.Addr, string) bool { return true })
	must(t, h, parse(t, spec))
	h.Answers = answering("198.51.100.10", strangerMAC) // the machine is back: failover has to find this
	quiet(t, h, parse(t, spec))
}
