package chaos

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is a table of the faults with the worst result of each.
func (r *run) report() string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "fault\ttimes\tnot made\tno holder\ttwo holders\tright after\tfailed\tcut")
	names := make([]string, 0, len(r.lines))
	for name := range r.lines {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		one, other := strings.Contains(a, " and "), strings.Contains(b, " and ")
		if one != other {
			return map[bool]int{true: 1, false: -1}[one]
		}
		return strings.Compare(a, b)
	})
	ms := func(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }
	for _, name := range names {
		l := r.lines[name]
		fmt.Fprintf(t, "%s\t%d\t%d\t%s\t%s\t%s\t%d\t%d\n", name, l.times, l.unmade, ms(l.none), ms(l.two), ms(l.healed), l.failed, l.cut)
	}
	_ = t.Flush() // it writes to memory
	fmt.Fprintf(&b, "%d faults, and %d that could not be made; seed %d\n", r.made, r.unmade, r.Seed)
	return b.String()
}
