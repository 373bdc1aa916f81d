package main

import (
	"os"
	"path/filepath"
	"testing"

	"rlb.dev/rlb-agent/cmd/rlb-agent/schema"
)

// The first line of a first spec names the schema of the installation that the program is from.
func TestInstalledSchema(t *testing.T) {
	prefix := t.TempDir()
	program, installed := filepath.Join(prefix, "sbin/rlb-agent"), filepath.Join(prefix, "share/rlb-agent/schema.json")
	if got := installedSchema(program); got != "" {
		t.Errorf("without an installed schema: %q", got)
	}
	if err := os.MkdirAll(filepath.Dir(installed), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(installed, schema.JSON, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := installedSchema(program); got != installed {
		t.Errorf("%q, want %q", got, installed)
	}
}
