package render

import (
	"os"
	"path/filepath"
	"testing"
)

// TestFormerSpecsStayValid: a spec of rlb.dev/v1 that was valid once stays valid, and can be rendered for every release.
// testdata/specs has specs of former commits, each named by its day. Specs may be added there, and are never changed.
func TestFormerSpecsStayValid(t *testing.T) {
	paths, err := filepath.Glob("testdata/specs/*/*.yaml")
	if err != nil || len(paths) < 21 {
		t.Fatalf("cannot find the former specs: %d, %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(path, func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			spec := parse(t, string(data))
			for _, r := range releases {
				if len(files(t, spec, factsFor(spec, r))) == 0 {
					t.Errorf("%s: nothing is rendered", r.name)
				}
			}
		})
	}
}
