package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"rlb.dev/rlb-agent/hack/lab"
)

func TestReport(t *testing.T) {
	r := countOf(lab.Report{Total: 400, Failed: 5, Errors: map[string]int{"timeout": 2, "connection reset by peer": 3}})
	if r != (count{400, 5, 3, 2}) {
		t.Errorf("%+v", r)
	}
	all := results{
		{"standard", []sample{{New: count{Total: 400}, Quiet: 100, Told: 100, Gap: 7}, {New: count{Total: 410}, Quiet: 100, Told: 100, Gap: 9}}},
		{"classic", []sample{{New: r, Half: count{20, 8, 0, 8}, Quiet: 100, Stalled: 100, Gap: 612}}},
	}
	path := filepath.Join(t.TempDir(), "move.json")
	if err := all.writeJSON(path); err != nil {
		t.Fatal(err)
	}
	all, err := readJSON([]string{path, path})
	if err != nil || len(all) != 2 || len(all[0].Moves) != 4 {
		t.Fatalf("%+v, %v", all, err)
	}
	var table strings.Builder
	all.print(&table)
	for _, want := range []string{"standard  4      0 of 1620    0", "classic   2      10 of 800    6", "16 of 40", "612 ms"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("no %q in\n%s", want, table.String())
		}
	}
	svg := all.draw()
	for _, want := range []string{">none<", ">0 in 4 moves<", ">10 in 2 moves<", ">200 in 2 moves<", ">classic<"} {
		if !bytes.Contains(svg, []byte(want)) {
			t.Errorf("no %q in the picture", want)
		}
	}
	if bytes.Contains(svg, []byte(">by hand<")) {
		t.Error("what was not measured is in the legend")
	}
}
