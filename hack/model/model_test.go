package model

import (
	"flag"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"
)

var (
	schedules = flag.Int("schedules", 60, "how many random schedules are run")
	first     = flag.Uint64("seed", 1, "the seed of the first one")
	only      = flag.String("only", "", "faults whose name contains it")
)

// endless is the time limit for a schedule on a busy machine. Normally a schedule takes some milliseconds.
const endless = 2 * time.Minute

// endlessly ends the test if a schedule never ends. In a bubble, time advances only while all goroutines wait, so a goroutine
// that runs without waiting stops the time.
func endlessly(seed uint64) *time.Timer {
	return time.AfterFunc(endless, func() { panic(fmt.Sprintf("seed %d: something runs without end", seed)) })
}

// run runs the schedule of a seed in its own bubble.
func run(t *testing.T, s Specs, seed uint64, c Choice) (o Outcome) {
	t.Helper()
	defer endlessly(seed).Stop()
	synctest.Test(t, func(t *testing.T) {
		var err error
		if o, err = s.Run(t.Context(), seed, c); err != nil {
			t.Fatal(err)
		}
	})
	return o
}

// TestSchedules runs random schedules: make model SCHEDULES=10000 SEED=1. Each failure it finds gets an entry in TestFound or
// TestSeeds.
func TestSchedules(t *testing.T) { runAll(t, Choice{Only: *only}) }

// TestEdits runs the same number of schedules, with an edit of the virtual router in each round.
func TestEdits(t *testing.T) { runAll(t, Choice{Only: *only, Edits: true}) }

func runAll(t *testing.T, c Choice) {
	t.Helper()
	began := time.Now()
	var mutex sync.Mutex
	lines := map[string]*line{}
	failed, next := 0, *first
	t.Run("all", func(t *testing.T) {
		for range runtime.GOMAXPROCS(0) {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				for specs := (Specs{}); ; {
					mutex.Lock()
					seed := next
					next++
					mutex.Unlock()
					if seed >= *first+uint64(*schedules) {
						return
					}
					o := run(t, specs, seed, c)
					mutex.Lock()
					for _, r := range o.Rounds {
						add(lines, r)
					}
					if o.Err() != nil {
						failed++
					}
					mutex.Unlock()
					if o.Err() != nil {
						t.Error(smallest(t, specs, o, c).Err())
					}
				}
			})
		}
	})
	took := time.Since(began)
	t.Logf("%d schedules from seed %d, %d went wrong, %.0f a minute\n%s", *schedules, *first, failed, float64(*schedules)/took.Minutes(), table(lines))
}

// smallest removes the faults of the wrong round that are not needed for the failure.
func smallest(t *testing.T, s Specs, o Outcome, c Choice) Outcome {
	t.Helper()
	last := len(o.Rounds)
	c.Drop = map[int]int{}
	for i := range 3 {
		c.Drop[last] |= 1 << i
		if less := run(t, s, o.Seed, c); less.Err() != nil && len(less.Rounds) == last {
			o = less
			continue
		}
		c.Drop[last] &^= 1 << i
	}
	return o
}

// line holds the worst results of one fault.
type line struct {
	times             int
	none, two, healed time.Duration
}

// add adds a round to the table. All rounds with several faults share one line.
func add(lines map[string]*line, r Round) {
	if n := strings.Count(r.Faults, " and "); n > 0 {
		r.Faults = "several at once"
	}
	l := lines[r.Faults]
	if l == nil {
		l = new(line)
		lines[r.Faults] = l
	}
	l.times++
	l.none, l.two, l.healed = max(l.none, r.None), max(l.two, r.Two), max(l.healed, r.Healed)
}

func table(lines map[string]*line) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "fault\ttimes\tnobody served\ttwo holders\tright after")
	var names []string
	for name := range lines {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		l := lines[name]
		fmt.Fprintf(w, "%s\t%d\t%v\t%v\t%v\n", name, l.times, l.none.Round(time.Millisecond), l.two.Round(time.Millisecond), l.healed.Round(time.Millisecond))
	}
	_ = w.Flush() // to memory
	return b.String()
}
