package history

import (
	"testing"
	"time"
)

func TestBetween(t *testing.T) {
	start := time.Now()
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	h := History{changes: []Change{
		{at(-9000), "lb2", false}, {at(-9000), "lb1", true},
		{at(110), "lb2", true}, {at(100), "lb1", false}, // added late
		{at(500), "lb1", true}, {at(530), "lb1", false},
		{at(800), "lb2", false}, {at(900), "lb2", true},
	}}
	for _, c := range []struct {
		from, to  int
		none, two int
		text      string
	}{
		{0, 50, 0, 0, ""},
		{0, 400, 10, 0, "100 ms lb1 gives up, 110 ms lb2 holds"},
		{200, 700, 0, 30, "300 ms lb1 holds, 330 ms lb1 gives up"},
		{600, 850, 50, 0, "200 ms lb2 gives up"},
		{510, 520, 0, 10, ""},
	} {
		s := h.Between(at(c.from), at(c.to))
		if want := (Span{time.Duration(c.none) * time.Millisecond, time.Duration(c.two) * time.Millisecond, c.text}); s != want {
			t.Errorf("%d to %d: %+v, want %+v", c.from, c.to, s, want)
		}
	}
}
