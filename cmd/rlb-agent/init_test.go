package main

import (
	"os"
	"path/filepath"
	"testing"

	"rlb.dev/rlb-agent/cmd/rlb-agent/schema"
	"rlb.dev/rlb-agent/reconcile/host"
)

// TestInstalledSchema: the first line of a first spec names the schema that was installed with the
// program.
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

// TestAfterInit: the next command depends on the daemon: a running one applies the spec at once.
func TestAfterInit(t *testing.T) {
	const look = "next: rlb-agent --once --dry-run, then "
	for _, c := range []struct {
		spec  string
		agent host.Unit
		want  string
	}{
		{defaultSpec, host.Unit{LoadState: "loaded", ActiveState: "active", UnitFileState: "enabled"}, "rlb-agent.service runs and brings it into force now: rlb-agent status --watch"},
		{defaultSpec, host.Unit{LoadState: "loaded", ActiveState: "active", UnitFileState: "disabled"}, "rlb-agent.service runs and brings it into force now: rlb-agent status --watch"},
		{defaultSpec, host.Unit{LoadState: "loaded", ActiveState: "activating", UnitFileState: "enabled"}, "rlb-agent.service runs and brings it into force now: rlb-agent status --watch"},
		{defaultSpec, host.Unit{LoadState: "loaded", ActiveState: "failed", UnitFileState: "enabled"}, look + "systemctl start rlb-agent"},
		{defaultSpec, host.Unit{LoadState: "loaded", ActiveState: "inactive", UnitFileState: "disabled"}, look + "systemctl enable --now rlb-agent"},
		{defaultSpec, host.Unit{LoadState: "not-found", ActiveState: "inactive"}, look + "rlb-agent --once"},
		{defaultSpec, host.Unit{}, look + "rlb-agent --once"},
		{"new.yaml", host.Unit{LoadState: "loaded", ActiveState: "active"}, "next: rlb-agent --once --dry-run --spec new.yaml, then install it as /etc/rlb/spec.yaml"},
	} {
		if got := afterInit(c.spec, c.agent); got != c.want {
			t.Errorf("%s, %+v: %s\nwant %s", c.spec, c.agent, got, c.want)
		}
	}
}
