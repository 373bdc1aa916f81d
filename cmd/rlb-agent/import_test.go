package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
)

// configured is a host whose units have their configurations at other paths.
type configured struct {
	*fake.Host
	haproxy, keepalived string
}

func (c configured) Unit(_ context.Context, name string) (host.Unit, error) {
	if name == host.HAProxyUnit {
		return host.Unit{Environment: map[string]string{"CONFIG": c.haproxy}}, nil
	}
	return host.Unit{Environment: map[string]string{"DAEMON_ARGS": "-f " + c.keepalived}}, nil
}

// TestSuggestImport: only a first run on a host with a configuration of its own suggests import.
func TestSuggestImport(t *testing.T) {
	for name, test := range map[string]struct {
		haproxy, keepalived     string
		ofHAProxy, ofKeepalived bool
	}{
		"both are somebody's":    {"global\n\nfrontend web\n    bind :80\n", "vrrp_instance A {\n}\n", true, true},
		"a listen section":       {"listen web\n    bind :80\n", "", true, false},
		"the package's own file": {"global\n    daemon\n\ndefaults\n    mode http\n", "", false, false},
		"only a comment of one":  {"# frontend web\n", "# vrrp_instance A\n", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			h := configured{fake.New(), filepath.Join(dir, "haproxy.cfg"), filepath.Join(dir, "keepalived.conf")}
			for path, text := range map[string]string{h.haproxy: test.haproxy, h.keepalived: test.keepalived} {
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var log bytes.Buffer
			(&app{log: slog.New(slog.NewTextHandler(&log, nil))}).suggestImport(t.Context(), h)
			for path, want := range map[string]bool{h.haproxy: test.ofHAProxy, h.keepalived: test.ofKeepalived} {
				line := path + " is not the agent's: the spec replaces it, and teardown brings it back; rlb-agent import makes a spec of it"
				if got := strings.Contains(log.String(), line); got != want {
					t.Errorf("%s suggested: %t, want %t\n%s", filepath.Base(path), got, want, &log)
				}
			}
		})
	}
}
