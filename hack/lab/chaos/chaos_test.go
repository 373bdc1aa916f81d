package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

// TestDraw: the same seed makes the same faults, whichever host is active meanwhile; a long run makes all of them.
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

// TestBounds: the bounds of one fault, and of two at once.
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
		{of("a device answers for the virtual IP"), instant, instant, false},
		{of("a router answers for the virtual IP"), instant, instant, false},
		{of("a thousand claims of the virtual IP"), instant, instant, false},
		{of("a control plane refuses"), instant, instant, false},
		{of("agent killed", "spec edited"), instant, argument + instant, true},
		{of("agent hangs", "HAProxy hangs"), takeover + 5*time.Second + recovery + instant, 5*time.Second + argument + instant, false},
	} {
		if none, two, served := bounds(c.acts); none != c.none || two != c.two || served != c.served {
			t.Errorf("%s and others: %v, %v, %v; want %v, %v, %v", c.acts[0].name, none, two, served, c.none, c.two, c.served)
		}
	}
}

// TestUnmade: a fault that could not be made is counted as such, alone or with another one. Only few faults may
// hinder each other.
func TestUnmade(t *testing.T) {
	happen := func(begin, end error) error {
		a := &act{fault: &fault{name: "it", begin: func(context.Context, *act) error { return begin }}, h: &lab.Host{}}
		if end != nil {
			a.end = func(context.Context, *act) error { return end }
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		return a.happen(ctx)
	}
	gone := errors.New("the host is down")
	r := &run{lines: map[string]*line{"it and other": {}}}
	l := r.lines["it and other"]
	if unmade := r.count(l, []error{happen(nil, nil), happen(gone, nil)}); len(unmade) != 1 || unmade[0] != "it: cannot make it: the host is down" {
		t.Errorf("it says %q", unmade)
	}
	if r.made != 1 || r.unmade != 1 || l.times != 1 || l.unmade != 1 {
		t.Errorf("%d made, %d not; in the table %d times, %d not", r.made, r.unmade, l.times, l.unmade)
	}
	if err := r.verdict(); err != nil {
		t.Errorf("one that was not made: %v", err)
	}
	r.count(l, []error{happen(nil, nil), happen(gone, nil)})
	r.count(l, []error{happen(nil, nil), happen(gone, nil)})
	if err := r.verdict(); err == nil || !strings.Contains(err.Error(), "3 faults could not be made, beside 3 that were") {
		t.Errorf("every second one was not made: %v", err)
	}
	r.made = 30
	if err := r.verdict(); err != nil {
		t.Errorf("one in ten was not made: %v", err)
	}
	if report := r.report(); !strings.Contains(report, "30 faults, and 3 that could not be made") {
		t.Error(report)
	}
}

// What grows is found, in memory and in open files.
func TestGrowthIsFound(t *testing.T) {
	p := program{unit: "haproxy", mostMemory: 64, growMemory: 16, mostFiles: 50, growFiles: 6}
	for _, test := range []struct {
		was, now used
		broken   int
	}{
		{used{20, 20}, used{36, 26}, 0},
		{used{20, 20}, used{10, 10}, 0},
		{used{20, 20}, used{37, 26}, 1},
		{used{20, 20}, used{36, 27}, 1},
		{used{60, 20}, used{65, 20}, 1},
		{used{20, 49}, used{37, 51}, 2},
	} {
		if broken := p.judge("lb1", test.was, test.now); len(broken) != test.broken {
			t.Errorf("from %v to %v: %q, must be %d", test.was, test.now, broken, test.broken)
		}
	}
}
