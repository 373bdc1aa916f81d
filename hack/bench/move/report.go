package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"rlb.dev/rlb-agent/hack/bench/plot"
	"rlb.dev/rlb-agent/hack/bench/record"
)

// A result has all moves with a setup.
type result struct {
	Setup string   `json:"setup"`
	Moves []sample `json:"moves"`
}

type results []result

// sums adds up the moves of a setup.
func (r result) sums() (all sample) {
	add := func(to *count, c count) {
		to.Total, to.Failed, to.Reset, to.Stalled = to.Total+c.Total, to.Failed+c.Failed, to.Reset+c.Reset, to.Stalled+c.Stalled
	}
	for _, m := range r.Moves {
		add(&all.New, m.New)
		add(&all.Half, m.Half)
		all.Quiet, all.Told, all.Stalled = all.Quiet+m.Quiet, all.Told+m.Told, all.Stalled+m.Stalled
	}
	all.Gap = median(r.values(func(s sample) float64 { return s.Gap }))
	return all
}

func (r result) values(of func(sample) float64) (values []float64) {
	for _, m := range r.Moves {
		values = append(values, of(m))
	}
	return values
}

// median returns the median; of an even number of values, the lower one.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(values))[(len(values)-1)/2]
}

func (all results) print(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "setup\tmoves\tnew: failed\treset\tstalled\thalf-open: failed\treset\tstalled\tquiet\ttold in 3 s\tstalled\tgap, median")
	for _, r := range all {
		s := r.sums()
		fmt.Fprintf(table, "%s\t%d\t%d of %d\t%d\t%d\t%d of %d\t%d\t%d\t%d\t%d\t%d\t%.0f ms\n", r.Setup, len(r.Moves), s.New.Failed, s.New.Total, s.New.Reset, s.New.Stalled,
			s.Half.Failed, s.Half.Total, s.Half.Reset, s.Half.Stalled, s.Quiet, s.Told, s.Stalled, s.Gap)
	}
	_ = table.Flush()
}

// pictured are the rows of the picture.
var pictured = []struct {
	title string
	of    func(sample) float64
}{
	{"new connections", func(s sample) float64 { return float64(s.New.Failed) }},
	{"half-open ones", func(s sample) float64 { return float64(s.Half.Failed) }},
	{"quiet ones, not told", func(s sample) float64 { return float64(s.Stalled) }},
}

// none is the position of a move without a loss: the scale has no 0.
const none = 0.1

// draw draws every move.
func (all results) draw() []byte {
	p := plot.Plot{
		Title: "Connections that a planned move of the virtual IP costs, by setup", Caption: "connections lost in a move",
		Scale: plot.Scale{Least: none, Most: 10000, Label: func(n float64) string {
			if n == none {
				return "none"
			}
			return fmt.Sprintf("%.0f", n)
		}},
		Setups: []plot.Setup{{Name: "standard", Colour: "#2f81f7"}, {Name: "by hand", Colour: "#a371f7"}, {Name: "classic", Colour: "#db6d28"}},
	}
	if slices.ContainsFunc(all, func(r result) bool { return r.Setup == kubeVIP }) {
		p.Setups = append(p.Setups, plot.Setup{Name: kubeVIP, Colour: "#2da44e"})
	}
	for _, row := range pictured {
		drawn := plot.Row{Title: row.title}
		for _, r := range all {
			values := r.values(row.of)
			sum := 0.0
			for _, v := range values {
				sum += v
			}
			drawn.Lanes = append(drawn.Lanes, plot.Lane{Setup: r.Setup, Samples: values, Median: median(values), Text: fmt.Sprintf("%.0f in %d moves", sum, len(values))})
		}
		p.Rows = append(p.Rows, drawn)
	}
	return p.SVG()
}

func (all results) writeJSON(path string) error { return record.Write(path, all) }

// readJSON reads files of writeJSON; moves of the same setup in several files are merged.
func readJSON(paths []string) (all results, err error) {
	files, err := record.Read[results](paths)
	for _, r := range slices.Concat(files...) {
		at := slices.IndexFunc(all, func(known result) bool { return known.Setup == r.Setup })
		if at < 0 {
			all = append(all, r)
			continue
		}
		all[at].Moves = append(all[at].Moves, r.Moves...)
	}
	return all, err
}
