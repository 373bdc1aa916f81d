package main

import "fmt"

// measured is one number of a sample.
type measured struct {
	name    string
	value   func(sample) float64
	endless func(sample) bool
	least   bool // it must reach the limit, not stay below it
}

func never(sample) bool { return false }

var (
	gap    = measured{"gap", func(s sample) float64 { return s.Gap }, func(s sample) bool { return s.Endless }, false}
	two    = measured{"two holders", func(s sample) float64 { return s.Two }, func(s sample) bool { return s.Split }, false}
	failed = measured{"failed", func(s sample) float64 { return float64(s.Failed) }, never, false}
	cut    = measured{"quiet connections cut", func(s sample) float64 { return float64(s.Cut) }, never, false}
	rate   = measured{"connections a second", func(s sample) float64 { return s.Rate }, never, true}
)

// A bar is what a figure must reach: a gap as the median, everything else in every sample.
type bar struct {
	fault, setup string
	of           measured
	limit        float64
	original     float64 // the original's median when the limit was set; the ratio of both is a bar of its own. 0: none
}

var bars = []bar{
	{"keepalived-stop", standard, gap, 15, 616},
	{"drain", standard, gap, 15, 616},
	{"drain", standard, failed, 0, 0},
	{"haproxy-stop", standard, gap, 25, 2766},
	{"haproxy-kill", standard, gap, 50, 249},
	{"haproxy-hang", standard, gap, 1000, 0},
	{"keepalived-kill", standard, two, 500, 0},
	{"keepalived-kill", standard, failed, 0, 0},
	{"agent-kill", standard, failed, 0, 0},
	{"link-cut", standard, gap, 320, 3115},
	{"crash", standard, gap, 320, 3350},
	{"link-cut", fast, gap, 170, 0},
	{"crash", fast, gap, 170, 0},
	{"heal", standard, two, 1000, 0},
	{"reload", standard, rate, 1900, 0}, // of 2000: if the load slows down the measurement proves nothing
	{"reload", standard, failed, 0, 0},
	{"edit", standard, rate, 1900, 0},
	{"edit", standard, failed, 0, 0},
	{"reloads", standard, rate, 1900, 0},
	{"reloads", standard, failed, 0, 0},
	{"reloads", standard, cut, 0, 0},
}

// judge compares a bar with the measurements; text is "" if it was not measured.
func (b bar) judge(all results) (text string, good bool) {
	r, ok := all.find(b.fault, b.setup)
	if !ok || len(r.Samples) == 0 {
		return "", true
	}
	got, what := r.max(b.of), b.of.name+" at most"
	switch {
	case b.of.least:
		got, what = quantile(r.values(b.of), 0), b.of.name+" at least"
	case b.of.name == gap.name:
		got, what = r.median(b.of), "median gap"
	}
	good = (got <= b.limit) != b.of.least && !r.endless(b.of)
	text = fmt.Sprintf("%s  %s, %s: %s %s, bar %s", verdict(good), titleOf(b.fault), b.setup, what, number(got, r.endless(b.of)), number(b.limit, false))
	old, ok := all.find(b.fault, classic)
	if b.original == 0 || !ok || old.endless(b.of) {
		return text, good
	}
	ratio, limit := got/old.median(b.of), b.limit/b.original
	return text + fmt.Sprintf("; %s  %.3f of classic, bar %.3f", verdict(ratio <= limit), ratio, limit), good && ratio <= limit
}

func verdict(good bool) string {
	if good {
		return "PASS"
	}
	return "FAIL"
}

func titleOf(name string) string {
	for _, f := range faults {
		if f.name == name {
			return f.title
		}
	}
	return name
}
