package failover

import (
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// TestBindToVirtualIP: a frontend that is bound to the virtual IP starts on the standby, and serves
// there after a failover.
func TestBindToVirtualIP(t *testing.T) {
	w := e2e.New(t)
	active, standby := w.Pair(strings.Replace(e2e.Spec(), "  port: 9000", "  port: 9000\n  bind: "+pair.VIP, 1), lab.Trixie, lab.Trixie)
	w.Serves("cp1", "cp2", "cp3")
	if out := standby.Shell("ss -Hltn sport = :9000"); !strings.Contains(out, pair.Service) {
		t.Fatalf("the standby does not listen on %s: %s", pair.Service, out)
	}
	active.Must("systemctl", "stop", "keepalived")
	w.Eventually("failover", 5*time.Second, standby.Active)
	w.Serves("cp1", "cp2", "cp3")
}
