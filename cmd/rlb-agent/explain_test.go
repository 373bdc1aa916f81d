package main

import (
	"strings"
	"testing"
)

// Every field of the spec has a meaning, and every one that is a value has an example.
func TestEveryFieldIsExplained(t *testing.T) {
	root, err := specFields()
	if err != nil {
		t.Fatal(err)
	}
	paths := root.paths("")
	if len(paths) < 80 {
		t.Errorf("only %d fields: %v", len(paths), paths)
	}
	for _, path := range paths {
		f, err := root.at(path)
		if err != nil {
			t.Error(err)
			continue
		}
		var b strings.Builder
		if err := f.explain(&b, path, false); err != nil {
			t.Error(err)
		}
		if meaning, _ := f.meaning(); meaning == "" || f.kind() == "" {
			t.Errorf("%s:\n%s", path, b.String())
		}
		if len(f.object().Properties) == 0 && !strings.Contains(b.String(), "EXAMPLE:") {
			t.Errorf("%s has no example:\n%s", path, b.String())
		}
	}
}
