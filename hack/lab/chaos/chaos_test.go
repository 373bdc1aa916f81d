package chaos

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

// The same seed makes the same faults, whichever host is active meanwhile; in the long run it makes all of them.
func TestDraw(t *testing.T) {
	drawn := func(seed uint64, at func(i int) bool) (all []string) {
		r := &run{rng: rand.New(rand.NewPCG(seed, 0)), hosts: []*lab.Host{{}, {}}}
		for i := range 2000 {
			var texts []string
			for _, a := range r.draw(faults, at(i)) {
				if a.lasts < a.fault.lasts[0] || a.lasts > a.fault.lasts[1] {
					t.Errorf("%s lasts %v, which is not from %v to %v", a.name, a.lasts, a.fault.lasts[0], a.fault.lasts[1])
				}
				texts = append(texts, fmt.Sprint(a.name, a.lasts, a.n))
			}
			all = append(all, strings.Join(texts, " and "))
		}
		return all
	}
	one, same := drawn(7, func(int) bool { return true }), drawn(7, func(i int) bool { return i%3 == 0 })
	if a, b := strings.Join(one, "\n"), strings.Join(same, "\n"); a != b {
		t.Error("the same seed made other faults")
	}
	if strings.Join(one[:20], "\n") == strings.Join(drawn(8, func(int) bool { return true })[:20], "\n") {
		t.Error("another seed made the same faults")
	}
	pairs := strings.Count(strings.Join(one, "\n"), " and ")
	for _, f := range faults {
		if !strings.Contains(strings.Join(one, "\n"), f.name) {
			t.Errorf("%s never happens", f.name)
		}
	}
	if pairs < 300 {
		t.Errorf("two at once happen %d times of %d", pairs, len(one))
	}
}

// What one fault may cost, and two at once.
func TestBounds(t *testing.T) {
	of := func(names ...string) (acts []*act) {
		for _, name := range names {
			for i := range faults {
				if faults[i].name == name {
					acts = append(acts, &act{fault: &faults[i], h: &lab.Host{}, lasts: faults[i].lasts[1]})
				}
			}
		}
		if len(acts) != len(names) {
			t.Fatalf("there are no such faults: %q", names)
		}
		return acts
	}
	for _, c := range []struct {
		acts      []*act
		none, two time.Duration
		served    bool
	}{
		{of("agent killed"), instant, instant, true},
		{of("keepalived killed"), takeover + instant, overlap + instant, false},
		{of("hosts are apart"), takeover + instant, argument + 4*time.Second + instant, false},
		{of("a control plane refuses"), instant, instant, false},
		{of("agent killed", "spec edited"), instant, argument + instant, true},
		{of("agent hangs", "HAProxy hangs"), takeover + 5*time.Second + recovery + instant, 5*time.Second + argument + instant, false},
	} {
		if none, two, served := bounds(c.acts); none != c.none || two != c.two || served != c.served {
			t.Errorf("%s and others: %v, %v, %v; want %v, %v, %v", c.acts[0].name, none, two, served, c.none, c.two, c.served)
		}
	}
}
