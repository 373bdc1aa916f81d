package observe

import (
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
)

// TestRunFiles: while the daemon runs, files under /run/rlb that somebody removes or corrupts are restored within a
// second, without a reload.
func TestRunFiles(t *testing.T) {
	w := e2e.New(t)
	h := w.Hosts(true, lab.Trixie)[0]
	h.Apply(driftSpec("interval: 60s") + "web: {address: 'unix:/run/rlb/web.sock'}\n")
	e2e.StartDaemon(h)
	w.Serves("cp1", "cp2", "cp3")
	const whole = `cd /run/rlb && grep -q '"LoadBalancerStatus"' status.json && grep -q '"invocation"' loaded.json && grep -q '"answers"' guard.json && grep -q '"role"' role.json && test -S web.sock`
	within := func(what string, limit time.Duration) {
		t.Helper()
		began := time.Now()
		for !h.Succeeds(whole) {
			if time.Since(began) > limit {
				t.Fatalf("%s: not whole within %v:\n%s", what, limit, h.Shell("head -v -c 200 /run/rlb/*.json; true"))
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Logf("%s: whole within %v", what, time.Since(began).Round(10*time.Millisecond))
	}
	within("started", 20*time.Second)
	workers := h.Shell("pgrep -x haproxy | sort")
	for _, change := range []string{
		"rm -rf /run/rlb/*",
		"until rm -r /run/rlb; do :; done", // the agent may restore a file meanwhile
		"for f in status loaded guard role; do echo '{\"torn' > /run/rlb/$f.json; done",
		// the agent may restore a file between the two commands
		"for f in status loaded guard role; do until rm -f /run/rlb/$f.json; mkdir -p /run/rlb/$f.json/x 2>/dev/null; do :; done; done",
		"for f in status loaded guard role; do : > /run/rlb/$f.json; done",
	} {
		h.Shell(change)
		within(change, time.Second)
	}
	if now := h.Shell("pgrep -x haproxy | sort"); now != workers {
		t.Errorf("haproxy was reloaded: %q, then %q", workers, now)
	}
	if log := h.Shell("journalctl -q -u rlb-agent --no-pager -o cat"); strings.Count(log, "restored /run/rlb/loaded.json") != 1 {
		t.Errorf("restoring is not logged once:\n%s", log)
	}
}
