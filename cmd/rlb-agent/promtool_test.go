package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// promtool runs Prometheus' own checker on a text. Without one the check is left out, unless nothing may be.
func promtool(t *testing.T, stdin string, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("RLB_REQUIRE") == "1" {
			t.Fatal("promtool is missing: package prometheus")
		}
		t.Log("not checked by promtool: it is not installed (package prometheus)")
		return
	}
	cmd := exec.Command(path, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %v: %v\n%s", args, err, out)
	}
}
