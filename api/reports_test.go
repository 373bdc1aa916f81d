package api

import (
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rlb.dev/rlb-agent/api/yamlfile"
)

var update = flag.Bool("update", false, "write the golden files")

// host has the facts for warnings, the same for all reports.
var host = HostFacts{
	Interface: "eth0",
	Subnets: map[string][]netip.Prefix{
		"eth0": {netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/64")},
		"eth1": {netip.MustParsePrefix("203.0.113.0/24")},
	},
	Memory:      512 << 20,
	Descriptors: 100_000,
}

// TestReports compares the whole report on each spec with its golden file. The cases are specs that administrators
// wrote; the warnings have one spec of each kind. go test ./api -update writes the golden files.
func TestReports(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.yaml")
	if err != nil || len(files) < 100 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := reportOn(t, filepath.Base(file), data)
			golden := strings.TrimSuffix(file, ".yaml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// reportOn returns the report on a spec as a terminal shows it.
func reportOn(t *testing.T, name string, data []byte) string {
	t.Helper()
	doc, err := Parse(name, data)
	var problems yamlfile.Problems
	switch {
	case errors.As(err, &problems):
	case err != nil:
		t.Fatal(err)
	default:
		problems = doc.Warnings(host)
	}
	if len(problems) == 0 {
		return "valid\n"
	}
	return problems.Excerpts() + "\n"
}
