package status

import (
	"testing"
	"time"

	"rlb.dev/rlb-agent/reconcile/headroom"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/state"
)

func TestHeadroomRow(t *testing.T) {
	ms := func(n float64) headroom.Span { return headroom.Span(n * float64(time.Millisecond)) }
	for _, test := range []struct {
		name string
		role host.Role
		h    Headroom
		want string
		mood Mood
	}{
		{"as it should be", host.RoleBackup, Headroom{Interval: ms(20), Allowed: ms(60.2), WorstGap: ms(31), WorstLate: ms(0.3), Recommended: ms(20)},
			"worst gap 31 ms of 60 ms allowed, in the last hour; timers here late by 0.3 ms at most", Good},
		{"too short", host.RoleBackup, Headroom{Interval: ms(20), Allowed: ms(60.2), WorstGap: ms(55), WorstLate: ms(12), Recommended: ms(100), Narrow: true},
			"worst gap 55 ms of 60 ms allowed, in the last hour; timers here late by 12 ms at most; advertisementInterval: 100ms is recommended", Bad},
		{"a shorter one is possible", host.RoleMaster, Headroom{Interval: ms(100), Allowed: ms(300.8), WorstGap: ms(101), Recommended: ms(20)},
			"worst gap 101 ms of 301 ms allowed, in the last hour; timers here late by 0.0 ms at most; advertisementInterval: 20ms would do", Good},
		{"who advertises", host.RoleMaster, Headroom{Interval: ms(100), Allowed: ms(300.8), WorstLate: ms(2)},
			"the standby measures the gaps between advertisements; timers here late by 2.0 ms at most", Plain},
		{"nobody advertises", host.RoleFault, Headroom{Interval: ms(100), Allowed: ms(300.8), WorstLate: ms(2)},
			"no advertisements heard in the last hour; timers here late by 2.0 ms at most", Plain},
	} {
		rows := headroomRows(Status{Role: test.role, Headroom: &test.h})
		if len(rows) != 1 || rows[0].Text != test.want || rows[0].Mood != test.mood {
			t.Errorf("%s: %+v", test.name, rows)
		}
	}
	if rows := headroomRows(Status{}); rows != nil {
		t.Errorf("not measured: %+v", rows)
	}
}

// TestHeadroomIsRead: the status shows what the daemon measured while the daemon keeps its file up to date.
func TestHeadroomIsRead(t *testing.T) {
	h := fake.New()
	for age, want := range map[time.Duration]bool{time.Second: true, time.Hour: false} {
		record := headroom.Record{Written: time.Now().Add(-age), Allowed: headroom.Span(time.Second)}
		if err := state.WriteDerived(t.Context(), h, state.HeadroomFile, record); err != nil {
			t.Fatal(err)
		}
		s := Status{Headroom: new(Headroom)} // from the last status
		(&reading{o: h}).headroom(t.Context(), &s)
		if got := s.Headroom != nil; got != want {
			t.Errorf("measured %v ago: %+v", age, s.Headroom)
		}
	}
}
