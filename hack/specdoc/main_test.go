package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestThePageIsUpToDate(t *testing.T) {
	want, err := specPage("../../" + source)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../" + page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s is out of date: make manual (-want +got):\n%s", page, diff)
	}
}

const declarations = `package api

// Root is the file.
//
// For those who write Go.
type Root struct {
	// Name is shown "as it is".
	//
	// Default: none.
	// Example: {a: b}
	Name string ` + "`json:\"name\" validate:\"required,name\"`" + `
	// Mode is fast, or slow.
	Mode Mode ` + "`json:\"mode\"`" + `
	// Parts are what it has.
	Parts []Part ` + "`json:\"parts,omitempty\"`" + `
	// MaxSize of it.
	MaxSize *int ` + "`json:\"maxSize\"`" + `
	// Raw are lines.
	Raw Lines ` + "`json:\"raw\"`" + `
	hidden int
}

// Mode is a mode.
type Mode string

// The modes.
const (
	Fast Mode = "fast"
	Slow Mode = "slow"
)

// Part is one part.
type Part struct {
	// Wait is how long.
	Wait *Duration ` + "`json:\"wait\"`" + `
}

// Duration is a time.
type Duration int64

// Lines are lines.
type Lines []string
`

const described = "## The top level\n\nRoot is the file.\n\n" +
	"- `name` (text, required): Shown `as it is`. Default: none. Example: `{a: b}`\n" +
	"- `mode` (`fast`, `slow`): fast, or slow.\n" +
	"- `parts[]` (list of fields): What it has.\n" +
	"- `maxSize` (integer): `maxSize` of it.\n" +
	"- `raw` (lines): Lines.\n\n" +
	"## parts[]\n\nPart is one part.\n\n" +
	"- `parts[].wait` (duration): How long.\n\n"

func describe(t *testing.T, source string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "types.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	types, err := readTypes(dir)
	if err != nil {
		t.Fatal(err)
	}
	return types.reference("Root")
}

func TestReference(t *testing.T) {
	got, err := describe(t, declarations)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(described, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAFieldWithoutACommentIsRefused(t *testing.T) {
	_, err := describe(t, strings.Replace(declarations, "	// MaxSize of it.\n", "", 1))
	if err == nil || !strings.Contains(err.Error(), "MaxSize") {
		t.Errorf("got error %v, want one that names MaxSize", err)
	}
}

// TestWrap: no line begins with a word that Markdown treats as the marker of a list or a heading.
func TestWrap(t *testing.T) {
	long := strings.Repeat("word ", width/5)
	for _, marker := range []string{"-", "2.", "*", "# x"} {
		for line := range strings.Lines(wrap(long+marker+" end", "  ")) {
			if strings.HasPrefix(strings.TrimSpace(line), marker) {
				t.Errorf("a line begins with %q", line)
			}
		}
	}
}
