package main

import (
	"fmt"

	"rlb.dev/rlb-agent/hack/bench/plot"
)

// scale is the scale of the picture.
var scale = plot.Scale{Least: 1, Most: 10000, Label: func(ms float64) string {
	if ms >= 1000 {
		return fmt.Sprintf("%.0f s", ms/1000)
	}
	return fmt.Sprintf("%.0f ms", ms)
}}

// pictured are the rows of the picture.
var pictured = []struct {
	fault, title string
	of           measured
}{
	{"keepalived-stop", "keepalived stopped", gap},
	{"drain", "drain", gap},
	{"haproxy-stop", "HAProxy stopped", gap},
	{"haproxy-kill", "HAProxy killed", gap},
	{"haproxy-hang", "HAProxy hung", gap},
	{"agent-kill", "agent killed", gap},
	{"link-cut", "link cut", gap},
	{"crash", "host crash", gap},
	{"reboot", "reboot of the active", gap},
	{"heal", "partition healed", gap},
	{"keepalived-kill", "keepalived killed", gap},
	{"keepalived-kill", "… two holders for", two},
	{"reload", "HAProxy reloaded", gap},
	{"edit", "spec edited", gap},
}

// draw draws every sample.
func (all results) draw() []byte {
	p := plot.Plot{
		Title: "How long a client is not served, by fault and setup", Caption: "longest time without a good connection", Scale: scale,
		Setups: []plot.Setup{{Name: standard, Colour: "#2f81f7"}, {Name: fast, Colour: "#a371f7"}, {Name: byHand, Colour: "#2da44e"}, {Name: classic, Colour: "#db6d28"}},
	}
	for _, row := range pictured {
		drawn := plot.Row{Title: row.title}
		for _, setup := range p.Setups {
			if r, ok := all.find(row.fault, setup.Name); ok && len(r.Samples) > 0 {
				drawn.Lanes = append(drawn.Lanes, plot.Lane{Setup: setup.Name, Samples: r.values(row.of), Median: r.median(row.of), Text: r.text(row.of)})
			}
		}
		p.Rows = append(p.Rows, drawn)
	}
	return p.SVG()
}

// text returns the label at the right end of a lane.
func (r result) text(of measured) string {
	median := r.median(of)
	switch {
	case r.endless(of):
		return "no end"
	case median >= 1000:
		return fmt.Sprintf("%.1f s", median/1000)
	}
	return number(median, false) + " ms"
}
