package render

import (
	"fmt"
	"testing"

	"rlb.dev/rlb-agent/api"
)

// TestRenderAllocations: each server costs one line and few allocations, so that 100,000 servers are rendered quickly.
func TestRenderAllocations(t *testing.T) {
	const servers = 1000
	text := "apiVersion: rlb.dev/v1\nkind: LoadBalancerSpec\nvirtualIPs: [198.51.100.240]\nservices:\n- name: s\n  port: 80\n  servers:\n"
	for i := range servers {
		text += fmt.Sprintf("  - {name: n%d, address: 10.0.%d.%d, port: 8080}\n", i, i/200, i%200+1)
	}
	doc, err := api.Parse("spec.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	facts := factsFor(&doc.Spec, stable)
	allocations := testing.AllocsPerRun(3, func() {
		if _, err := Render(&doc.Spec, facts); err != nil {
			t.Fatal(err)
		}
	})
	if each := allocations / servers; each > 2 {
		t.Errorf("%.1f allocations for each server", each)
	}
	parsed := testing.AllocsPerRun(3, func() { _, _ = api.Parse("spec.yaml", []byte(text)) })
	if each := parsed / servers; each > 45 {
		t.Errorf("%.1f allocations to parse each server", each)
	}
	t.Logf("%.1f allocations to render a server, %.1f to parse it", allocations/servers, parsed/servers)
}
