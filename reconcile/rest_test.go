package reconcile_test

import (
	"testing"
	"time"
)

// TestDeadKeepalivedRests: a run starts a keepalived that has just died only after its peer has taken over, even if a user
// started the run. No other unit waits.
func TestDeadKeepalivedRests(t *testing.T) {
	for unit, rests := range map[string]bool{"keepalived.service": true, "haproxy.service": false} {
		h := installed(t, parse(t, spec))
		h.Crash(unit)
		took := must(t, h, parse(t, spec)).Time
		if took > 500*time.Millisecond != rests {
			t.Errorf("%s was started after %v", unit, took)
		}
		quiet(t, h, parse(t, spec))
	}
}
