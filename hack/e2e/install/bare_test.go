package install

import (
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// TestBareHost: one run turns a bare host, without haproxy and keepalived, into a serving installation with enabled
// units and held packages. The next run changes nothing.
func TestBareHost(t *testing.T) {
	for _, release := range []lab.Release{lab.Trixie, lab.Bookworm} {
		t.Run(string(release), func(t *testing.T) {
			w := e2e.New(t)
			h := w.Hosts(false, release)[0]
			h.WriteSpec(e2e.Spec())

			code, plan := h.RunAgent("--once", "--dry-run")
			if code != 1 || !strings.Contains(plan, "install haproxy, keepalived") || !strings.Contains(plan, "+    server cp2 198.51.100.22:6443") {
				t.Fatalf("dry run: exit code %d\n%s", code, plan)
			}
			if out := h.Shell("find /var/lib/rlb /run/rlb /etc/haproxy /etc/keepalived -type f 2>/dev/null; true"); strings.TrimSpace(out) != "" {
				t.Fatalf("the dry run left: %s", out)
			}

			start := time.Now()
			h.Apply(e2e.Spec())
			w.Serves("cp1", "cp2", "cp3")
			t.Logf("from nothing to serving: %v", time.Since(start).Round(time.Millisecond))

			for _, unit := range []string{"haproxy", "keepalived"} {
				if !h.Is("active", unit, "active") || !h.Is("enabled", unit, "enabled") {
					t.Errorf("%s is not active and enabled", unit)
				}
			}
			if !h.Is("enabled", "rlb-firewall", "enabled") {
				t.Error("rlb-firewall is not enabled")
			}
			if held := strings.Fields(h.Must("apt-mark", "showhold")); strings.Join(held, " ") != "haproxy keepalived" {
				t.Errorf("held: %v", held)
			}

			before := h.Footprint()
			start = time.Now()
			out := h.Must(pair.Agent, "--once")
			t.Logf("a run that changes nothing: %v", time.Since(start).Round(time.Millisecond))
			if !strings.Contains(out, "nothing to do") {
				t.Errorf("second run: %s", out)
			}
			if after := h.Footprint(); after != before {
				t.Errorf("the second run changed the host:\n%s\nbecame\n%s", before, after)
			}
			if code, out := h.RunAgent("--once", "--dry-run"); code != 0 {
				t.Errorf("dry run after it: exit code %d\n%s", code, out)
			}
			if code, out := h.RunAgent("diff"); code != 0 || out != "" {
				t.Errorf("diff after it: exit code %d\n%s", code, out)
			}
		})
	}
}
