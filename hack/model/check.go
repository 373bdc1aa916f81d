package model

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

const (
	recovery = 10 * time.Second     // the pair must be right again within this time after a round
	instant  = 5 * time.Millisecond // what a fault without cost may cost: the time of some frames on a LAN
	rounds   = 3
	startup  = 15 * time.Second
	look     = 10 * time.Millisecond  // between two checks whether the pair is right
	rest     = 200 * time.Millisecond // how long the pair must stay right before the round is judged
)

// bounds returns what several faults may cost together. With several faults, each may delay the recovery from the others.
func bounds(acts []*act) (none, two time.Duration, move bool) {
	var longest time.Duration
	for _, a := range acts {
		if a.none != nil {
			none += a.none(a)
		}
		if a.two != nil {
			two += a.two(a)
		}
		move = move || a.move
		longest = max(longest, a.after+a.lasts)
	}
	if len(acts) > 1 {
		none += longest + recovery
		meet := argued
		if slices.ContainsFunc(acts, isEdit) {
			meet = unheard
		}
		two += longest + meet(acts[0])
		move = true
	}
	return none + instant, two + instant, move
}

// Round is the result of one round.
type Round struct {
	Faults            string // names, "A and B"
	None, Two, Healed time.Duration
	Wrong             []string // the violations
}

// Outcome is the result of a schedule.
type Outcome struct {
	Seed   uint64
	Spec   string
	Rounds []Round
	Story  []string // the events of the last round
}

// Err returns the violations of the first wrong round, with the events that led to them; nil if there are none.
func (o Outcome) Err() error {
	for _, r := range o.Rounds {
		if len(r.Wrong) > 0 {
			return fmt.Errorf("seed %d, %s, %s: %s\n%s", o.Seed, o.Spec, r.Faults, strings.Join(r.Wrong, "; "), strings.Join(o.Story, "\n"))
		}
	}
	return nil
}

// Specs caches the settings of pairs by variant. Only one goroutine at a time may use it.
type Specs map[variant][2]settings

func (s Specs) of(ctx context.Context, v variant) ([2]settings, error) {
	if known, ok := s[v]; ok {
		return known, nil
	}
	var both [2]settings
	for i := range both {
		one, err := prepare(ctx, v, i)
		if err != nil {
			return both, err
		}
		both[i] = one
	}
	s[v] = both
	return both, nil
}

// Run runs the schedule of a seed, in a testing/synctest bubble. It ends at the first round that goes wrong.
func (s Specs) Run(ctx context.Context, seed uint64, c Choice) (Outcome, error) {
	rng := rand.New(rand.NewPCG(seed, 0))
	v, table, n := variantOf(rng), c.table(), 0
	draw := (*pair).draw
	if c.Edits {
		draw = (*pair).drawEdit
	}
	return s.run(ctx, seed, v, func(p *pair) []*act {
		if n++; n > rounds {
			return nil
		}
		// The pause keeps effects of one fault out of the next round, such as the second burst of gratuitous ARP, or a silence
		// that the next advertisement ends.
		time.Sleep(p.machines[0].advertise + time.Duration(rng.Float64()*float64(8*time.Second)))
		p.Lock()
		defer p.Unlock()
		var left []*act
		for i, a := range draw(p, rng, table) {
			if c.Drop[n]>>i&1 == 0 {
				left = append(left, a)
			}
		}
		return left
	})
}

// run runs the rounds that next returns, until next returns none or a round goes wrong.
func (s Specs) run(ctx context.Context, seed uint64, v variant, next func(*pair) []*act) (o Outcome, err error) {
	both, err := s.of(ctx, v)
	if err != nil {
		return o, err
	}
	o = Outcome{Seed: seed, Spec: v.String()}
	p := newPair(newWorld(seed), v, both)
	defer p.end()
	p.boot()
	if took, wrong := p.right(startup); wrong != "" {
		o.Rounds = append(o.Rounds, Round{Faults: "start", Healed: took, Wrong: []string{wrong}})
	}
	for o.Err() == nil {
		acts := next(p)
		if len(acts) == 0 {
			break
		}
		o.Rounds = append(o.Rounds, p.round(acts))
	}
	p.Lock()
	o.Story = p.story
	p.Unlock()
	return o, nil
}

// failback returns the additional time until the host with the higher priority has the virtual IP again.
func (m *machine) failback() time.Duration {
	if !m.preempts {
		return 0
	}
	return m.preemptDelay + m.force.Takeover
}

// round makes faults and judges the result.
func (p *pair) round(acts []*act) Round {
	var names, texts []string
	for _, a := range acts {
		names, texts = append(names, a.name), append(texts, a.String())
	}
	slices.Sort(names)
	p.Lock()
	p.story, p.lan.overtook, p.former = nil, false, p.machines[0].keepalived.id
	p.Unlock()
	began := time.Now()
	happen(p, acts)
	p.Lock() // the agents change what is in force
	within := recovery + acts[0].m.failback()
	if len(acts) > 1 && slices.ContainsFunc(acts, func(a *act) bool { return a.unseen }) {
		within += acts[0].m.refresh
	}
	for _, a := range acts {
		if a.endless || isEdit(a) {
			within += kept(a)
		}
	}
	p.Unlock()
	took, wrong := p.right(within)
	p.Lock()
	for _, a := range acts {
		if a.endless {
			a.end(a)
		}
	}
	p.Unlock()
	holders, servers := p.holders.Between(began, time.Now()), p.servers.Between(began, time.Now())
	r := Round{Faults: strings.Join(names, " and "), None: servers.None, Two: holders.Two, Healed: took}
	say := func(format string, args ...any) {
		if len(r.Wrong) == 0 {
			r.Wrong = []string{strings.Join(texts, " and ")}
		}
		r.Wrong = append(r.Wrong, fmt.Sprintf(format, args...))
	}
	none, two, move := bounds(acts)
	p.Lock()
	overtook := p.lan.overtook
	p.Unlock()
	if overtook && move { // the advertisement takes the goodbye back
		none += takeover(acts[0])
	}
	if r.None > none {
		say("nobody served for %v, bound %v", r.None, none)
	}
	if r.Two > two {
		say("two held the virtual IP for %v, bound %v", r.Two, two)
	}
	if !move && holders.Text != "" {
		say("the virtual IP moved: %s", holders.Text)
	}
	if wrong != "" {
		say("not right after %v: %s", took, wrong)
	}
	return r
}
