package plan

import (
	"slices"
	"testing"

	"rlb.dev/rlb-agent/api"
)

func TestPinned(t *testing.T) {
	doc := &api.Document{Digest: "d"}
	doc.Spec.Packages.HAProxy.Version = "3.0.*"
	pinned := Pinned(doc, []Newer{{"haproxy", "3.0.1", "3.0.2"}, {"keepalived", "1:2", "1:3"}})
	if p := pinned.Spec.Packages; p.HAProxy.Version != "3.0.2" || p.Keepalived.Version != "1:3" || pinned.Digest != "d" {
		t.Errorf("%+v", p)
	}
	if p := doc.Spec.Packages; p.HAProxy.Version != "3.0.*" || p.Keepalived.Version != "" {
		t.Errorf("the spec itself changed: %+v", p)
	}
	if got := []string{(Newer{"haproxy", "1", "2"}).String()}; !slices.Equal(got, []string{"haproxy 1 to 2"}) {
		t.Error(got)
	}
}
