package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// row returns a result with these gaps; a negative one had no end.
func row(fault, setup string, gaps ...float64) result {
	r := result{Fault: fault, Setup: setup}
	for _, ms := range gaps {
		r.Samples = append(r.Samples, sample{Gap: max(ms, -ms), Endless: ms < 0, Total: 100})
	}
	return r
}

func TestQuantile(t *testing.T) {
	numbers := []float64{5, 1, 4, 2, 3, 10, 9, 8, 7, 6, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11}
	for q, want := range map[float64]float64{0: 1, 0.5: 10, 0.95: 19, 1: 20} {
		if got := quantile(numbers, q); got != want {
			t.Errorf("quantile %v is %v, not %v", q, got, want)
		}
	}
	if got := quantile([]float64{7}, 0.95); got != 7 {
		t.Errorf("of one number: %v", got)
	}
}

func TestBars(t *testing.T) {
	twice := func(r result, s sample) result { r.Samples = append(r.Samples, s); return r }
	for _, c := range []struct {
		name   string
		all    results
		missed bool
		words  []string
	}{
		{"nothing measured", nil, false, nil},
		{"the median counts, not the worst", results{row("keepalived-stop", standard, 10, 11, 400), row("keepalived-stop", classic, 620)}, false,
			[]string{"PASS  keepalived stopped, standard: median gap 11, bar 15; PASS  0.018 of classic, bar 0.024"}},
		{"too slow", results{row("keepalived-stop", standard, 16)}, true, []string{"FAIL  keepalived stopped"}},
		{"good, but not against classic", results{row("keepalived-stop", standard, 14), row("keepalived-stop", classic, 100)}, true,
			[]string{"median gap 14, bar 15; FAIL  0.140 of classic"}},
		{"classic never ends", results{row("haproxy-hang", standard, 400), row("haproxy-hang", classic, -6000, -6000)}, false,
			[]string{"PASS  HAProxy hung, standard: median gap 400, bar 1000", "> 6000"}},
		{"standard never ends", results{row("haproxy-hang", standard, -900)}, true, []string{"FAIL"}},
		{"one failed connection", results{twice(row("edit", standard, 5), sample{Gap: 5, Failed: 1, Total: 9, Rate: 2000})}, true,
			[]string{"FAIL  spec edited, standard: failed at most 1.0, bar 0", "1 of 109"}},
		{"less load than asked for", results{twice(row("reload", standard), sample{Rate: 700})}, true,
			[]string{"FAIL  HAProxy reloaded, standard: connections a second at least 700, bar 1900", "PASS  HAProxy reloaded, standard: failed at most 0"}},
		{"the load that was asked for", results{twice(row("reload", standard), sample{Rate: 1990})}, false,
			[]string{"PASS  HAProxy reloaded, standard: connections a second at least 1990"}},
		{"two holders to the end", results{twice(row("keepalived-kill", standard), sample{Gap: 5, Two: 100, Split: true})}, true,
			[]string{"FAIL  keepalived killed, standard: two holders at most > 100, bar 500"}},
	} {
		var out strings.Builder
		if missed := c.all.print(&out); missed != c.missed {
			t.Errorf("%s: missed is %v:\n%s", c.name, missed, out.String())
		}
		for _, words := range c.words {
			if !strings.Contains(out.String(), words) {
				t.Errorf("%s: %q is not in:\n%s", c.name, words, out.String())
			}
		}
	}
}

// TestFiles: written results are read back; samples of two files are merged.
func TestFiles(t *testing.T) {
	all := results{row("crash", standard, 250, -6000), row("crash", classic, 3300)}
	path := filepath.Join(t.TempDir(), "all.json")
	if err := all.writeJSON(path); err != nil {
		t.Fatal(err)
	}
	again, err := readJSON([]string{path, path})
	if err != nil {
		t.Fatal(err)
	}
	all[0].Samples, all[1].Samples = append(all[0].Samples, all[0].Samples...), append(all[1].Samples, all[1].Samples...)
	if diff := cmp.Diff(all, again); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestDraw: every sample is a dot, further right the longer it took, and the picture is
// well-formed.
func TestDraw(t *testing.T) {
	all := results{row("haproxy-stop", standard, 10, 12, 14), row("haproxy-stop", classic, 2700, -6000), row("keepalived-kill", standard, 0)}
	svg := all.draw()
	dots := 0
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "circle" {
			dots++
		}
	}
	if dots != 2+3+2+2 { // two in the legend; one sample of the last result in each of its two rows
		t.Errorf("%d dots", dots)
	}
	if x := scale.X; !(x(1) < x(10) && x(10) < x(100) && x(0) == x(1) && x(1e9) == x(10000)) {
		t.Error("the scale is wrong")
	}
	for _, word := range []string{"HAProxy stopped", "keepalived killed", "12 ms", "classic"} {
		if !bytes.Contains(svg, []byte(">"+word+"<")) {
			t.Errorf("%q is not in the picture", word)
		}
	}
}

// TestNames: the faults and setups of the bars and the picture exist.
func TestNames(t *testing.T) {
	for _, b := range bars {
		if !slices.Contains(names(), b.fault) {
			t.Errorf("a bar for fault %q, which there is not", b.fault)
		}
	}
	for _, row := range pictured {
		if !slices.Contains(names(), row.fault) {
			t.Errorf("a row for fault %q, which there is not", row.fault)
		}
	}
	for _, s := range setups {
		for _, fault := range s.only {
			if !slices.Contains(names(), fault) {
				t.Errorf("%s: fault %q, which there is not", s.name, fault)
			}
		}
	}
}
