package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"text/tabwriter"

	"rlb.dev/rlb-agent/hack/bench/record"
)

// A result has all samples of a fault with a setup.
type result struct {
	Fault   string   `json:"fault"`
	Setup   string   `json:"setup"`
	Samples []sample `json:"samples"`
}

type results []result

// quantile returns a quantile by the nearest rank: 0 is the least, 0.5 the median, 1 the greatest.
func quantile(numbers []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(numbers))
	rank := int(q*float64(len(sorted)) + 0.999999)
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// values returns one measure of each sample, in milliseconds unless it is a count.
func (r result) values(of measured) (values []float64) {
	for _, s := range r.Samples {
		values = append(values, of.value(s))
	}
	return values
}

func (r result) max(of measured) float64    { return quantile(r.values(of), 1) }
func (r result) median(of measured) float64 { return quantile(r.values(of), 0.5) }

// endless reports whether most samples had no end while they were watched.
func (r result) endless(of measured) bool {
	n := 0
	for _, s := range r.Samples {
		if of.endless(s) {
			n++
		}
	}
	return 2*n > len(r.Samples)
}

// find returns the result of a fault with a setup.
func (all results) find(fault, setup string) (result, bool) {
	for _, r := range all {
		if r.Fault == fault && r.Setup == setup {
			return r, true
		}
	}
	return result{}, false
}

// print writes the table and the bars; missed reports that a bar is missed.
func (all results) print(w io.Writer) (missed bool) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "fault\tsetup\tn\tmin\tmedian\tp95\tmax\tfailed\tat\ttwo holders, median\tmax\tquiet ones cut\tof classic")
	for _, f := range faults {
		for _, setup := range []string{standard, fast, byHand, classic} {
			r, ok := all.find(f.name, setup)
			if !ok {
				continue
			}
			gaps := r.values(gap)
			ratio := "–"
			if old, ok := all.find(f.name, classic); ok && setup != classic && !f.loaded && !old.endless(gap) {
				ratio = fmt.Sprintf("%.3f", r.median(gap)/old.median(gap))
			}
			failed, total, cut, rate := 0, 0, 0, 0.0
			for _, s := range r.Samples {
				failed, total, cut, rate = failed+s.Failed, total+s.Total, cut+s.Cut, rate+s.Rate/float64(len(gaps))
			}
			fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%d of %d\t%.0f/s\t%s\t%s\t%d\t%s\n", f.title, setup, len(gaps),
				number(quantile(gaps, 0), r.endless(gap)), number(quantile(gaps, 0.5), r.endless(gap)),
				number(quantile(gaps, 0.95), r.endless(gap)), number(quantile(gaps, 1), r.endless(gap)),
				failed, total, rate, number(r.median(two), r.endless(two)), number(r.max(two), r.endless(two)), cut, ratio)
		}
	}
	_ = table.Flush()
	fmt.Fprintf(w, "\nMilliseconds; > where nothing ended it.\n\n")
	for _, b := range bars {
		text, good := b.judge(all)
		if text != "" {
			fmt.Fprintln(w, text)
		}
		missed = missed || !good
	}
	return missed
}

// number formats milliseconds with the significant digits.
func number(ms float64, endless bool) string {
	text := fmt.Sprintf("%.0f", ms)
	if ms < 10 && ms > 0 {
		text = fmt.Sprintf("%.1f", ms)
	}
	if endless {
		return "> " + text
	}
	return text
}

// file is the file of all samples.
type file struct {
	CPUs    int     `json:"cpus"`
	Arch    string  `json:"arch"`
	Unit    string  `json:"unit"`
	Results results `json:"results"`
}

// writeJSON writes every sample.
func (all results) writeJSON(path string) error {
	return record.Write(path, file{runtime.NumCPU(), runtime.GOARCH, "milliseconds", all})
}

// readJSON reads files of writeJSON; samples of the same fault in several files are merged.
func readJSON(paths []string) (all results, err error) {
	files, err := record.Read[file](paths)
	for _, f := range files {
		for _, row := range f.Results {
			i := slices.IndexFunc(all, func(old result) bool { return old.Fault == row.Fault && old.Setup == row.Setup })
			if i < 0 {
				all = append(all, row)
				continue
			}
			all[i].Samples = append(all[i].Samples, row.Samples...)
		}
	}
	return all, err
}
