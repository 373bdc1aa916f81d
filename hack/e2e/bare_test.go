package e2e

import (
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

// A bare host, without haproxy and keepalived, becomes a serving, enabled and held installation in one run. The next
// run changes nothing.
func TestBareHost(t *testing.T) {
	for _, release := range []lab.Release{lab.Trixie, lab.Bookworm} {
		t.Run(string(release), func(t *testing.T) {
			w := newWorld(t)
			h := w.hosts(false, release)[0]
			h.writeSpec(specOf())

			code, plan := h.code("--once", "--dry-run")
			if code != 1 || !strings.Contains(plan, "install haproxy, keepalived") || !strings.Contains(plan, "+    server cp2 198.51.100.22:6443") {
				t.Fatalf("dry run: exit code %d\n%s", code, plan)
			}
			if out := h.sh("find /var/lib/rlb /run/rlb /etc/haproxy /etc/keepalived -type f 2>/dev/null; true"); strings.TrimSpace(out) != "" {
				t.Fatalf("the dry run left: %s", out)
			}

			start := time.Now()
			h.apply(specOf())
			w.serves("cp1", "cp2", "cp3")
			t.Logf("from nothing to serving: %v", time.Since(start).Round(time.Millisecond))

			for _, unit := range []string{"haproxy", "keepalived"} {
				if !h.is("active", unit, "active") || !h.is("enabled", unit, "enabled") {
					t.Errorf("%s is not active and enabled", unit)
				}
			}
			if !h.is("enabled", "rlb-firewall", "enabled") {
				t.Error("rlb-firewall is not enabled")
			}
			if held := strings.Fields(h.must("apt-mark", "showhold")); strings.Join(held, " ") != "haproxy keepalived" {
				t.Errorf("held: %v", held)
			}

			before := h.footprint()
			start = time.Now()
			out := h.must(agent, "--once")
			t.Logf("a run that changes nothing: %v", time.Since(start).Round(time.Millisecond))
			if !strings.Contains(out, "nothing to do") {
				t.Errorf("second run: %s", out)
			}
			if after := h.footprint(); after != before {
				t.Errorf("the second run changed the host:\n%s\nbecame\n%s", before, after)
			}
			if code, out := h.code("--once", "--dry-run"); code != 0 {
				t.Errorf("dry run after it: exit code %d\n%s", code, out)
			}
			if code, out := h.code("diff"); code != 0 || out != "" {
				t.Errorf("diff after it: exit code %d\n%s", code, out)
			}
		})
	}
}

// footprint is what a run that changes nothing must leave alone: processes, start times, files with their times, rules.
func (h *host) footprint() string {
	return h.sh(`
		for unit in haproxy keepalived; do systemctl show -p MainPID,InvocationID,ActiveEnterTimestampMonotonic,NRestarts $unit; done
		pgrep -x haproxy; pgrep -x keepalived
		find /etc /var/lib/rlb /run/rlb/loaded.json -type f -printf '%p %T@ %C@ %i %m\n' | grep -v -e /etc/mtab -e /etc/rlb/ | sort
		iptables-save | sed 's/\[.*//; /^#/d'; ip6tables-save | sed 's/\[.*//; /^#/d'`)
}
