package failover

import (
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
)

// TestKilledKeepalived: a killed keepalived is restarted only after its peer has had the time to take over: with
// standard by systemd; with classic, which has the package's unmodified unit, by the agent.
func TestKilledKeepalived(t *testing.T) {
	w := e2e.New(t)
	h := w.Hosts(true, lab.Trixie)[0]
	for i, profile := range []struct {
		more        string
		first, last time.Duration
	}{{"", 300 * time.Millisecond, 900 * time.Millisecond}, {e2e.Classic, 3600 * time.Millisecond, 5 * time.Second}} {
		h.Apply(e2e.Spec(profile.more))
		if i == 0 {
			e2e.StartDaemon(h)
		}
		w.Eventually("it holds the virtual IP", 10*time.Second, h.Active)
		last := h.Shell("systemctl show --value -p InvocationID keepalived")
		start := time.Now()
		h.Shell("systemctl kill -s KILL keepalived")
		w.Eventually("keepalived runs again", 10*time.Second, func() bool {
			return h.Is("active", "keepalived", "active") && h.Shell("systemctl show --value -p InvocationID keepalived") != last
		})
		took := time.Since(start)
		t.Logf("%q: keepalived runs again after %v", profile.more, took.Round(time.Millisecond))
		if took < profile.first || took > profile.last {
			t.Errorf("%q: keepalived runs again after %v, want %v to %v", profile.more, took, profile.first, profile.last)
		}
	}
}
