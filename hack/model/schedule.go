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

	Edits bool // each round begins with an edit of the virtual router
}

func (c Choice) table() []fault {
	all := slices.Clone(faults)
	if c.Edits {
		all = append(all, besides...)
	}
	return slices.DeleteFunc(all, func(f fault) bool { return !strings.Contains(f.name, c.Only) })
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
	for range n {
		a := p.drawOne(rng, table)
		if n == 1 || len(acts) == 0 {
			a.after = 0
		}
		acts = with(acts, a)
	}
	return acts
}

// drawEdit is the next round where the virtual router is changed: what happens beside that does so until a while after it.
func (p *pair) drawEdit(rng *rand.Rand, table []fault) []*act {
	edit := p.drawOne(rng, edits)
	acts := []*act{edit}
	span := edit.lasts + time.Second
	edit.after = 0
	for range []int{0, 0, 1, 1, 1, 2}[rng.IntN(6)] {
		a := p.drawOne(rng, table)
		a.after = time.Duration(a.after.Seconds() * float64(span))
		acts = with(acts, a)
	}
	return acts
}

// drawOne is a fault that begins within a second.
func (p *pair) drawOne(rng *rand.Rand, table []fault) *act {
	f := &table[rng.IntN(len(table))]
	at, share := rng.IntN(2), rng.Float64()
	a := &act{fault: f, p: p, share: rng.Float64()}
	a.lasts = f.lasts[0] + time.Duration(share*float64(f.lasts[1]-f.lasts[0]))
	a.after = time.Duration(rng.Float64() * float64(time.Second))
	switch holder := p.holder(); f.at {
	case active:
		at = holder
	case standby:
		at = 1 - holder
	}
	a.m, a.other = p.machines[at], p.machines[1-at]
	return a
}

// with is one more act, unless such a one is among them.
func with(acts []*act, a *act) []*act {
	if slices.ContainsFunc(acts, func(other *act) bool { return other.name == a.name }) {
		return acts
	}
	return append(acts, a)
}

// holder is the host that is active.
func (p *pair) holder() int {
	if p.machines[1].vip {
		return 1
	}
	return 0
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
		if a.end != nil && !a.endless {
			p.world.after(a.after+a.lasts, func() {
				p.tell("%s: end of %s", a.m.name, a.name)
				a.end(a)
			})
		}
	}
	time.Sleep(longest + time.Millisecond)
}
