package render

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aymanbagabas/go-udiff"
)

var update = flag.Bool("update", false, "write the golden files")

// The golden files are the rendered files of the examples: testdata/golden/EXAMPLE/FILE for the newest release, and
// FILE.RELEASE for an older release if its file differs from that of the next newer one.

// TestGolden compares the rendered files of the examples with the golden files. go test ./render -update writes them.
func TestGolden(t *testing.T) {
	for _, name := range examples(t) {
		t.Run(name, func(t *testing.T) {
			spec, dir := example(t, name), filepath.Join("testdata/golden", name)
			if *update {
				if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
					t.Fatal(err)
				}
			}
			for i, r := range releases {
				seen := map[string]bool{}
				for _, f := range files(t, spec, factsFor(spec, r)) {
					base := goldenName(f.Path)
					seen[base] = true
					if *update {
						writeGolden(t, dir, base, i, f.Data)
					}
					want, path := readGolden(t, dir, base, i)
					if diff := udiff.Unified(path, r.name, want, string(f.Data)); diff != "" {
						t.Errorf("%s differs from the golden file (-update writes it):\n%s", f.Path, diff)
					}
				}
				checkNoOther(t, dir, seen)
			}
		})
	}
}

// goldenName returns the base name of a file. For a drop-in the name of its unit precedes it.
func goldenName(path string) string {
	dir, base := filepath.Split(path)
	if unit, ok := strings.CutSuffix(filepath.Base(dir), ".d"); ok {
		return unit + "." + base
	}
	return base
}

// readGolden returns the golden file of the i-th release: its own, or that of the nearest newer release.
func readGolden(t testing.TB, dir, base string, i int) (text, path string) {
	t.Helper()
	for ; i >= 0; i-- {
		path = filepath.Join(dir, base)
		if i > 0 {
			path += "." + releases[i].name
		}
		data, err := os.ReadFile(path)
		if err == nil {
			return string(data), path
		}
		if !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	return "", path
}

func writeGolden(t testing.TB, dir, base string, i int, data []byte) {
	t.Helper()
	path := filepath.Join(dir, base)
	if i > 0 {
		if newer, _ := readGolden(t, dir, base, i-1); newer == string(data) {
			return
		}
		path += "." + releases[i].name
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// checkNoOther reports golden files of files that are no longer rendered.
func checkNoOther(t testing.TB, dir string, seen map[string]bool) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		base := entry.Name()
		for _, r := range releases[1:] {
			base = strings.TrimSuffix(base, "."+r.name)
		}
		if !seen[base] {
			t.Errorf("%s is a golden file of nothing", filepath.Join(dir, entry.Name()))
		}
	}
}
