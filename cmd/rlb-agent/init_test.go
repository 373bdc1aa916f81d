package main

import (
	"os"
	"path/filepath"
	"testing"
)

// The first line of a first spec names the schema of the installation that the program is from.
func TestInstalledSchema(t *testing.T) {
	prefix := t.TempDir()
	program, schema := filepath.Join(prefix, "sbin/rlb-agent"), filepath.Join(prefix, "share/rlb-agent/schema.json")
	if got := installedSchema(program); got != "" {
		t.Errorf("without an installed schema: %q", got)
	}
	if err := os.MkdirAll(filepath.Dir(schema), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(schema, jsonSchema, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := installedSchema(program); got != schema {
		t.Errorf("%q, want %q", got, schema)
	}
}
