// Package plot draws the measurements of the benchmarks: every sample as a dot on a logarithmic scale, and each median
// as a bar. The picture is an SVG without a background, in colours that are readable on light and dark.
package plot

import (
	"bytes"
	"fmt"
	"html"
	"math"
)

const (
	inkColour  = "#7d8590"
	leftEdge   = 190.0
	plotWidth  = 560.0
	rightEdge  = leftEdge + plotWidth
	fullWidth  = rightEdge + 150
	topEdge    = 50.0
	laneHeight = 17.0
	rowGap     = 9.0
)

// A Plot is a picture of rows, each with a lane for each setup that has samples.
type Plot struct {
	Title   string // for readers who cannot see the picture
	Caption string // what the scale shows
	Scale   Scale
	Setups  []Setup // from top to bottom; those without samples are not in the legend
	Rows    []Row
}

// A Scale is a logarithmic scale.
type Scale struct {
	Least, Most float64              // powers of ten; values beyond them are drawn at the edge
	Label       func(float64) string // of a power of ten
}

// A Setup is compared with the others.
type Setup struct{ Name, Colour string }

// A Row compares the setups by one measurement.
type Row struct {
	Title string
	Lanes []Lane
}

// A Lane is one setup in a row.
type Lane struct {
	Setup   string
	Samples []float64
	Median  float64
	Text    string // at the end of the lane
}

// X returns the position of a value.
func (s Scale) X(value float64) float64 {
	at := (math.Log10(min(max(value, s.Least), s.Most)) - math.Log10(s.Least)) / (math.Log10(s.Most) - math.Log10(s.Least))
	return leftEdge + at*plotWidth
}

// SVG draws the picture.
func (p Plot) SVG() []byte {
	var rows bytes.Buffer
	y := topEdge
	drawn := map[string]bool{}
	for _, row := range p.Rows {
		top := y
		for _, setup := range p.Setups {
			for _, lane := range row.Lanes {
				if lane.Setup == setup.Name && len(lane.Samples) > 0 {
					lane.draw(&rows, p.Scale, y+laneHeight/2, setup.Colour)
					drawn[setup.Name] = true
					y += laneHeight
				}
			}
		}
		if y > top {
			fmt.Fprintf(&rows, `<text x="%.0f" y="%.1f" text-anchor="end">%s</text>`+"\n", leftEdge-12, (top+y)/2+4, html.EscapeString(row.Title))
			y += rowGap
		}
	}
	var svg bytes.Buffer
	fmt.Fprintf(&svg, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" font-family="system-ui, sans-serif" font-size="12" fill="%s" role="img">
<title>%s</title>
`, fullWidth, y+22, fullWidth, inkColour, html.EscapeString(p.Title))
	at := leftEdge
	for _, setup := range p.Setups {
		if drawn[setup.Name] {
			fmt.Fprintf(&svg, `<circle cx="%.0f" cy="16" r="5" fill="%s"/><text x="%.0f" y="20">%s</text>`+"\n", at+5, setup.Colour, at+16, html.EscapeString(setup.Name))
			at += 100
		}
	}
	fmt.Fprintf(&svg, `<text x="%.0f" y="20" text-anchor="end">%s</text>`+"\n", rightEdge, html.EscapeString(p.Caption))
	for value := p.Scale.Least; value <= p.Scale.Most; value *= 10 {
		fmt.Fprintf(&svg, `<path d="M%.1f %.0fV%.0f" stroke="%s" stroke-opacity=".35"/><text x="%.1f" y="%.0f" text-anchor="middle">%s</text>`+"\n",
			p.Scale.X(value), topEdge-8, y, inkColour, p.Scale.X(value), y+16, html.EscapeString(p.Scale.Label(value)))
	}
	svg.Write(rows.Bytes())
	svg.WriteString("</svg>\n")
	return svg.Bytes()
}

func (l Lane) draw(w *bytes.Buffer, scale Scale, y float64, colour string) {
	for i, value := range l.Samples {
		fmt.Fprintf(w, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s" fill-opacity=".45"/>`+"\n", scale.X(value), y+float64(i%3-1)*2.5, colour)
	}
	fmt.Fprintf(w, `<path d="M%.1f %.1fv12" stroke="%s" stroke-width="2.5"/>`+"\n", scale.X(l.Median), y-6, colour)
	fmt.Fprintf(w, `<text x="%.0f" y="%.1f" fill="%s">%s</text>`+"\n", rightEdge+12, y+4, colour, html.EscapeString(l.Text))
}
