package model

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// A schedule consists of rounds of one fault or several at once. A round begins when the pair is right again.

// Choice selects the faults of a schedule. The zero value selects all faults.
type Choice struct {
	Only string      // only faults whose name contains this text; "" for all
	Drop map[int]int // faults to leave out, as bits of their numbers, by the number of the round

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

// draw draws the next round. The number of random numbers it takes does not depend on which host is active.
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

// drawEdit draws the next round with an edit of the virtual router. Other faults begin between the beginning of the edit and a
// second after its end.
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

// drawOne draws a fault that begins within a second.
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

// with adds an act, unless acts has one with the same fault.
func with(acts []*act, a *act) []*act {
	if slices.ContainsFunc(acts, func(other *act) bool { return other.name == a.name }) {
		return acts
	}
	return append(acts, a)
}

// holder returns the index of the active host.
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

// happen begins and ends the faults at their times. It returns when all have ended, except endless ones.
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
