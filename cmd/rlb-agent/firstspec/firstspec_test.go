package firstspec

import (
	"strings"
	"testing"

	"rlb.dev/rlb-agent/api"
)

func TestParseMember(t *testing.T) {
	for text, want := range map[string]Member{
		"192.168.3.251":           {Address: "192.168.3.251"},
		"192.168.3.251:7443":      {Address: "192.168.3.251", Port: 7443},
		"cp1=192.168.3.251:7443":  {Name: "cp1", Address: "192.168.3.251", Port: 7443},
		"2001:db8::1":             {Address: "2001:db8::1"},
		"[2001:db8::1]":           {Address: "2001:db8::1"},
		"cp1=[2001:db8::1]:6443":  {Name: "cp1", Address: "2001:db8::1", Port: 6443},
		"api.example.org":         {Address: "api.example.org"},
		"api=api.example.org:443": {Name: "api", Address: "api.example.org", Port: 443},
	} {
		if got, err := ParseMember(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "cp1=", ":6443", "a:0", "a:65536", "a:b"} {
		if got, err := ParseMember(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// TestNoInjection: any text from the command line becomes one value of the spec, or is refused: it
// never adds a field.
func TestNoInjection(t *testing.T) {
	for _, text := range []string{"x\n  failOpen: true", "x, failOpen: true", "x} # {", `"`, "a: b", "&a", "*a", "!!int 3", "- x", "x\u2028y", "null", "~", "0x10", "1e3", "yes"} {
		w := Wishes{VirtualIPs: []string{"192.168.3.240"}, Service: text, Servers: []Member{{Name: text, Address: "192.168.3.251"}}, Nodes: []Member{{Name: text, Address: "192.168.3.11"}}}
		spec, _ := w.Text()
		doc, err := api.Parse("spec.yaml", []byte(spec))
		if err != nil {
			if strings.Contains(err.Error(), "unknown field") {
				t.Errorf("%q: %v", text, err)
			}
			continue
		}
		if s := doc.Spec.Services[0]; s.Name != text || s.Servers[0].Name != text || doc.Spec.Nodes[0].Name != text {
			t.Errorf("%q became %q, %q and %q", text, s.Name, s.Servers[0].Name, doc.Spec.Nodes[0].Name)
		}
	}
}

func FuzzFromCluster(f *testing.F) {
	f.Add([]byte(`{"items":[{"metadata":{"labels":{"node-role.kubernetes.io/master":""}},"status":{"addresses":[{"type":"InternalIP","address":"1.2.3.4"}]}}]}`))
	f.Add([]byte("clusters: [{cluster: {server: 'https://a:1'}}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := FromKubeconfig(data); err == nil && m.Address == "" {
			t.Error("a server without an address")
		}
		if all, _, err := FromNodes(data); err == nil && len(all) == 0 {
			t.Error("no error and no server")
		}
	})
}
