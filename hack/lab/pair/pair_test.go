package pair

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestHolding(t *testing.T) {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	var h Holding
	for _, look := range []struct {
		at      int
		holders []string
	}{
		{0, []string{"lb1"}}, {10, []string{"lb1"}},
		{12, nil}, // seen by one look only
		{14, []string{"lb1", "lb2"}}, {20, []string{"lb1", "lb2"}},
		{22, []string{"lb2"}}, {30, []string{"lb2"}},
		{32, []string{"lb1", "lb2"}}, {36, []string{"lb1", "lb2"}},
		{38, []string{"lb2"}},
	} {
		h = h.add(ms(look.at), look.holders)
	}
	for what, got := range map[string][2]time.Duration{
		"longest time of two":         {h.Longest(2), ms(6)},
		"longest time of none":        {h.Longest(0), 0},
		"time of two in all":          {h.Total(2), ms(10)},
		"last time of two":            {h.Last(2), ms(36)},
		"last time of none":           {h.Last(0), ms(12)},
		"last time of three, is none": {h.Last(3), 0},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %v, want %v", what, got[0], got[1])
		}
	}
	if got, want := h.String(), "0 ms: lb1, 12 ms: none, 14 ms: lb1 lb2, 22 ms: lb2, 32 ms: lb1 lb2, 38 ms: lb2"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		stop := watch(func() []string {
			if time.Since(start) < 100*time.Millisecond {
				return []string{"lb1"}
			}
			return []string{"lb2"}
		})
		time.Sleep(151 * time.Millisecond)
		h := stop()
		if len(h) != 2 || !slices.Equal(h[0].Holders, []string{"lb1"}) || !slices.Equal(h[1].Holders, []string{"lb2"}) {
			t.Fatalf("seen: %+v", h)
		}
		if change := h[1].From; change < 100*time.Millisecond || change > 110*time.Millisecond || h[0].To >= change || h[1].To < 140*time.Millisecond {
			t.Errorf("seen: %+v", h)
		}
	})
}
