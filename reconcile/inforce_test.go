package reconcile_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render"
	"rlb.dev/rlb-agent/render/vrrp"
)

// TestInForceIdentities: the identities of keepalived's routers are read from its file, even if the file differs from the
// spec.
func TestInForceIdentities(t *testing.T) {
	h := installed(t, parse(t, spec))
	f, _ := h.File(t.Context(), render.DefaultKeepalivedConfig)
	edited := strings.Replace(string(f.Data), "virtual_router_id 10", "virtual_router_id 7", 1)
	for text, want := range map[string][]vrrp.Identity{string(f.Data): routersOf(t, spec), edited: routersOf(t, otherRouter), "": nil} {
		h.Put(render.DefaultKeepalivedConfig, text, 0o644)
		if in, err := state.ReadInForce(t.Context(), h); err != nil || !slices.Equal(in.Identities, want) {
			t.Errorf("%+v, %v; want %+v", in, err, want)
		}
	}
}

// TestInForceDevices: the interfaces of the virtual IPs are in the order of these.
func TestInForceDevices(t *testing.T) {
	h := fake.New()
	h.Net = append(h.Net, host.Interface{Name: "eth1", Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.1/24")}})
	must(t, h, edited(t, "[198.51.100.10]", "[198.51.100.10, {address: 203.0.113.9/24, interface: eth1}]"))
	if in, err := state.ReadInForce(t.Context(), h); err != nil || !slices.Equal(in.Devices, []string{"", "eth1"}) {
		t.Errorf("%+v, %v", in, err)
	}
}
