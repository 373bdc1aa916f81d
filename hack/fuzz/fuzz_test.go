package main

import (
	"strings"
	"testing"

	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/render"
)

// share is the number of specs, with fixed seeds, that each release's programs judge in the tests; startShare is the
// number of those with which HAProxy is started. make fuzz has more.
const share, startShare = 30, 10

// TestRandomSpecsAreAccepted: each release's programs accept the rendered files of random specs of the whole language,
// and its HAProxy serves as they say.
func TestRandomSpecsAreAccepted(t *testing.T) {
	lab.Require(t)
	for i, r := range lab.Releases() {
		t.Run(string(r), func(t *testing.T) {
			lab.RequireRelease(t.Context(), t, r)
			t.Parallel()
			tree, err := openTree(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			defer tree.stop()
			judged, wrong, err := tree.specs(t.Context(), uint64(i), uint64(len(lab.Releases())), share)
			if err != nil || judged != share {
				t.Fatalf("%d specs were judged: %v", judged, err)
			}
			started, misled, err := tree.started(t.Context(), uint64(i), uint64(len(lab.Releases())), startShare)
			if err != nil || started.specs != startShare || started.connections < startShare {
				t.Fatalf("haproxy was started with %d specs, %d connections: %v", started.specs, started.connections, err)
			}
			for _, w := range append(wrong, misled...) {
				t.Error(w)
			}
		})
	}
}

// TestProgramsRefuse: a bad file is refused, and the next one is judged for itself.
func TestProgramsRefuse(t *testing.T) {
	lab.Require(t)
	tree, err := openTree(t.Context(), lab.Bookworm)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.stop()
	files, profile, err := rendered(1, tree)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []bool{true, false, true, false} {
		for _, f := range files {
			if bad {
				f.Data = append([]byte("nonsense {\n"), f.Data...)
			}
			var refused *disagreement
			switch f.Kind {
			case render.HAProxyConfig:
				refused, err = tree.testHAProxy(f, profile)
			case render.KeepalivedConfig:
				refused, err = tree.testKeepalived(f)
			case render.FirewallRules, render.HandoverRules:
				good := map[render.Kind]string{render.FirewallRules: "*filter\nCOMMIT\n", render.HandoverRules: "table ip fuzz {\n}\n"}[f.Kind]
				all, failed := tree.testRules(tree.testerOf(f), []rulesOf{{1, f.Data}, {2, []byte(good)}})
				if err = failed; len(all) > 0 {
					refused = &all[0]
				}
			default:
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if bad != (refused != nil) || refused != nil && !strings.Contains(refused.said, "nonsense") && f.Kind != render.FirewallRules {
				t.Errorf("%s, bad %v: got %v", f.Path, bad, refused)
			}
		}
	}
}
