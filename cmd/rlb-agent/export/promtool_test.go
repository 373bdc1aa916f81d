package export

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// unpacked is where hack/tools puts Prometheus.
const unpacked = "/var/cache/rlb-lab/prometheus/usr/bin"

// prometheusTool returns the path of prometheus or promtool. If it is missing, the test is skipped, or fails with
// RLB_REQUIRE.
func prometheusTool(t *testing.T, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	path := filepath.Join(unpacked, name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if os.Getenv("RLB_REQUIRE") == "1" {
		t.Fatalf("%s is missing (hack/tools)", name)
	}
	t.Skipf("%s is not installed (hack/tools)", name)
	return ""
}

// promtool runs Prometheus' own checker.
func promtool(t *testing.T, stdin string, args ...string) {
	t.Helper()
	cmd := exec.Command(prometheusTool(t, "promtool"), args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %v: %v\n%s", args, err, out)
	}
}
