package chaos

import (
	"fmt"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

// draw returns the next fault, or two at once, each with its host. at: the second host is active. Every call takes the
// same number of random numbers.
func (r *run) draw(table []fault, at bool) (acts []*act) {
	first, second := r.rng.IntN(len(table)), r.rng.IntN(len(table))
	both := r.rng.IntN(3) == 0
	for i, n := range []int{first, second} {
		other := r.rng.IntN(2) == 1
		random := r.rng.Float64()
		a := &act{fault: &table[n], r: r, n: r.rng.IntN(1 << 30)}
		if i == 1 && (!both || second == first) {
			continue
		}
		switch a.at {
		case active:
			other = at
		case standby:
			other = !at
		}
		a.h = r.hosts[map[bool]int{true: 1}[other]]
		a.lasts = a.fault.lasts[0] + time.Duration(random*float64(a.fault.lasts[1]-a.fault.lasts[0])).Truncate(time.Millisecond)
		acts = append(acts, a)
	}
	return acts
}

func (a *act) String() string {
	text := fmt.Sprintf("%s (%s", a.name, a.h.Name())
	if a.lasts > 0 {
		text += fmt.Sprintf(", %v", a.lasts)
	}
	return text + ")"
}

// bounds returns what the faults may cost together.
func bounds(acts []*act) (none, two time.Duration, served bool) {
	served = true
	var longest time.Duration
	out := map[*lab.Host]bool{} // hosts that may be kept from serving
	for _, a := range acts {
		none, two = none+a.none, two+a.two
		served = served && a.served
		longest = max(longest, a.lasts)
		if a.whole {
			two += a.lasts
		}
		if a.none > 0 || a.at == standby {
			out[a.h] = true
		}
	}
	if len(acts) > 1 { // each fault may delay the end of the other
		two += longest + argument
		if len(out) > 1 || none > 0 {
			none += longest + recovery
		}
		served = served && len(out) == 0
	}
	return none + instant, two + instant, served
}
