package lab_test

import (
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

func TestDisturbed(t *testing.T) {
	ms := time.Millisecond
	for _, tt := range []struct {
		late, gap, open time.Duration
		want            bool
	}{
		{5 * ms, 10 * ms, 0, false},
		{19 * ms, 20 * ms, 0, false}, // as on any machine
		{50 * ms, 60 * ms, 0, true},
		{50 * ms, 300 * ms, 0, false}, // too short to explain the gap
		{50 * ms, 10 * ms, 2 * time.Second, false},
		{600 * ms, 2 * time.Second, 0, true},
	} {
		if got := (lab.Report{Late: tt.late, Gap: tt.gap, Open: tt.open}).Disturbed(); got != tt.want {
			t.Errorf("late %v, gap %v, open %v: %v", tt.late, tt.gap, tt.open, got)
		}
	}
}
