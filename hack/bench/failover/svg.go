package main

import (
	"bytes"
	"fmt"
	"html"
	"math"
)

// The picture has no background and only colours that can be read on light and on dark.
const (
	inkColour  = "#7d8590"
	leftEdge   = 190.0
	plotWidth  = 560.0
	rightEdge  = leftEdge + plotWidth
	fullWidth  = rightEdge + 150
	topEdge    = 50.0
	laneHeight = 17.0
	rowGap     = 9.0
	leastMS    = 1.0
	mostMS     = 10000.0
)

// lanes are the setups from top to bottom, with their colours.
var lanes = []struct{ setup, colour string }{{standard, "#2f81f7"}, {fast, "#a371f7"}, {classic, "#db6d28"}}

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

// x is where milliseconds stand, on a scale of logarithms.
func x(ms float64) float64 {
	at := (math.Log10(min(max(ms, leastMS), mostMS)) - math.Log10(leastMS)) / (math.Log10(mostMS) - math.Log10(leastMS))
	return leftEdge + at*plotWidth
}

// draw draws every sample as a dot and each median as a bar.
func (all results) draw() []byte {
	var rows bytes.Buffer
	y := topEdge
	for _, row := range pictured {
		top := y
		for _, lane := range lanes {
			if r, ok := all.find(row.fault, lane.setup); ok && len(r.Samples) > 0 {
				r.draw(&rows, row.of, y+laneHeight/2, lane.colour)
				y += laneHeight
			}
		}
		if y > top {
			fmt.Fprintf(&rows, `<text x="%.0f" y="%.1f" text-anchor="end">%s</text>`+"\n", leftEdge-12, (top+y)/2+4, html.EscapeString(row.title))
			y += rowGap
		}
	}
	var svg bytes.Buffer
	fmt.Fprintf(&svg, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" font-family="system-ui, sans-serif" font-size="12" fill="%s" role="img">
<title>How long a client is not served, by fault and profile</title>
`, fullWidth, y+22, fullWidth, inkColour)
	at := leftEdge
	for _, lane := range lanes {
		if all.has(lane.setup) {
			fmt.Fprintf(&svg, `<circle cx="%.0f" cy="16" r="5" fill="%s"/><text x="%.0f" y="20">%s</text>`+"\n", at+5, lane.colour, at+16, lane.setup)
			at += 120
		}
	}
	fmt.Fprintf(&svg, `<text x="%.0f" y="20" text-anchor="end">longest time without a good connection</text>`+"\n", rightEdge)
	for ms := leastMS; ms <= mostMS; ms *= 10 {
		label := fmt.Sprintf("%.0f ms", ms)
		if ms >= 1000 {
			label = fmt.Sprintf("%.0f s", ms/1000)
		}
		fmt.Fprintf(&svg, `<path d="M%.1f %.0fV%.0f" stroke="%s" stroke-opacity=".35"/><text x="%.1f" y="%.0f" text-anchor="middle">%s</text>`+"\n",
			x(ms), topEdge-8, y, inkColour, x(ms), y+16, label)
	}
	svg.Write(rows.Bytes())
	svg.WriteString("</svg>\n")
	return svg.Bytes()
}

func (all results) has(setup string) bool {
	for _, r := range all {
		if r.Setup == setup {
			return true
		}
	}
	return false
}

func (r result) draw(w *bytes.Buffer, of measured, y float64, colour string) {
	for i, ms := range r.values(of) {
		fmt.Fprintf(w, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s" fill-opacity=".45"/>`+"\n", x(ms), y+float64(i%3-1)*2.5, colour)
	}
	median := r.median(of)
	fmt.Fprintf(w, `<path d="M%.1f %.1fv12" stroke="%s" stroke-width="2.5"/>`+"\n", x(median), y-6, colour)
	text := number(median, false) + " ms"
	switch {
	case r.endless(of):
		text = "no end"
	case median >= 1000:
		text = fmt.Sprintf("%.1f s", median/1000)
	}
	fmt.Fprintf(w, `<text x="%.0f" y="%.1f" fill="%s">%s</text>`+"\n", rightEdge+12, y+4, colour, text)
}
