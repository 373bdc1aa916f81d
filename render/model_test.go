package render

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/render/vrrp"
)

// TestModel: the model agrees with the rendered files.
func TestModel(t *testing.T) {
	for _, name := range examples(t) {
		spec := example(t, name)
		rendered, err := Render(spec, factsFor(spec, stable))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(vrrp.Identities(fileOf(t, rendered.Files, KeepalivedConfig).Data), rendered.Model.Routers); diff != "" {
			t.Errorf("%s: (-read +model):\n%s", name, diff)
		}
		text := string(fileOf(t, rendered.Files, HAProxyConfig).Data)
		for _, b := range rendered.Model.Backends {
			var read []Server
			for _, line := range linesOf(section(t, text, "backend "+b.Name+"\n"), "server") {
				s, ok := ParseServer(line)
				if !ok {
					t.Errorf("%s: cannot read %q", name, line)
				}
				s.Line = line[len("server "):]
				read = append(read, s)
			}
			if diff := cmp.Diff(read, b.Servers); diff != "" {
				t.Errorf("%s: (-read +model):\n%s", name, diff)
			}
		}
		for family, rules := range rendered.Model.Firewall {
			for _, f := range rendered.Files {
				if f.Kind == FirewallRules && FamilyOfRules(f) == family && !cmp.Equal(chainRules(f), rules) {
					t.Errorf("%s: rules of %v", name, family)
				}
			}
		}
	}
}

// TestModelOfFrontends: services that server names distinguish share one frontend.
func TestModelOfFrontends(t *testing.T) {
	spec := example(t, "full")
	rendered, err := Render(spec, factsFor(spec, stable))
	if err != nil {
		t.Fatal(err)
	}
	want := []Frontend{
		{"kube-apiserver", "services[0]", []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:6443"), netip.MustParseAddrPort("[::]:6443")}},
		{"ingress", "services[1]", []netip.AddrPort{netip.MustParseAddrPort("192.168.3.240:443"), netip.MustParseAddrPort("[2001:db8:3::240]:443")}},
	}
	comparer := cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })
	if diff := cmp.Diff(want, rendered.Model.Frontends, comparer); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, managed := rendered.Model.Firewall[api.IPv6]; !managed || !rendered.Model.Tracks || len(rendered.Model.Instances) != 2 {
		t.Errorf("%+v", rendered.Model)
	}
}
