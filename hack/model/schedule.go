package model

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// A schedule is some rounds, each of one fault or several at once. The next begins when the pair is right again.

// Choice is what a schedule is made of, if not of everything.
type Choice struct {
	Only string      // faults whose name contains it; "" for all
	Drop map[int]int // faults that are left out: bits of their numbers, by the number of the round
}

func (c Choice) table() []fault {
	return slices.DeleteFunc(slices.Clone(faults), func(f fault) bool { return !strings.Contains(f.name, c.Only) })
}

// variantOf draws the spec of a schedule.
func variantOf(rng *rand.Rand) variant {
	v := variant{
		priorities: [][2]int{{254, 254}, {254, 254}, {100, 100}, {150, 100}, {100, 150}}[rng.IntN(5)],
		interval:   []time.Duration{100, 100, 100, 50, 1000}[rng.IntN(5)] * time.Millisecond,
		preempt:    rng.IntN(3) == 0,
		handover:   rng.IntN(2) == 0,
	}
	if v.preempt && rng.IntN(2) == 0 {
		v.delay = time.Second
	}
	return v
}

// draw is the next round. It takes as many random numbers whichever host is active.
func (p *pair) draw(rng *rand.Rand, table []fault) (acts []*act) {
	n := []int{1, 1, 1, 2, 2, 3}[rng.IntN(6)]
	holder := 0
	if p.machines[1].vip {
		holder = 1
	}
	for range n {
		f := &table[rng.IntN(len(table))]
		at, share := rng.IntN(2), rng.Float64()
		a := &act{fault: f, p: p, share: rng.Float64()}
		a.lasts = f.lasts[0] + time.Duration(share*float64(f.lasts[1]-f.lasts[0]))
		a.after = time.Duration(rng.Float64() * float64(time.Second))
		if n == 1 || len(acts) == 0 {
			a.after = 0
		}
		switch f.at {
		case active:
			at = holder
		case standby:
			at = 1 - holder
		}
		if slices.ContainsFunc(acts, func(other *act) bool { return other.name == f.name }) {
			continue
		}
		a.m, a.other = p.machines[at], p.machines[1-at]
		acts = append(acts, a)
	}
	return acts
}

func (a *act) String() string {
	text := fmt.Sprintf("%s (%s", a.name, a.m.name)
	if a.after > 0 {
		text += fmt.Sprintf(", after %v", a.after.Round(time.Millisecond))
	}
	if a.lasts > 0 {
		text += fmt.Sprintf(", %v", a.lasts.Round(time.Millisecond))
	}
	return text + ")"
}

// happen makes the fault, and ends it, some time from now. They last until it returns.
func happen(p *pair, acts []*act) {
	var longest time.Duration
	for _, a := range acts {
		longest = max(longest, a.after+a.lasts)
		p.world.after(a.after, func() {
			p.tell("%s: %s", a.m.name, a.name)
			a.begin(a)
		})
		if a.end != nil {
			p.world.after(a.after+a.lasts, func() {
				p.tell("%s: end of %s", a.m.name, a.name)
				a.end(a)
			})
		}
	}
	time.Sleep(longest + time.Millisecond)
}
