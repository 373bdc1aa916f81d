package api

import (
	"strings"
	"testing"
)

func TestMetadata(t *testing.T) {
	for text, want := range map[string]string{
		`{labels: {app: web, example.com/tier: a.b_c-1, empty: ''}}`: "",
		`{annotations: {note: "two\nlines\tand ü, $ and \" too"}}`:   "",
		`{labels: {"a\n": b}}`:                           `metadata.labels: must have keys as in Kubernetes, such as app or example.com/app, got "a\n"`,
		`{labels: {"": b}}`:                              `metadata.labels: must have keys`,
		`{labels: {Example.com/a: b}}`:                   `metadata.labels: must have keys`,
		`{labels: {a: "b\e[31m"}}`:                       `metadata.labels[a]: must be at most 63 letters, digits, . _ or -, as in Kubernetes, got "b\x1b[31m"`,
		`{labels: {a: b c}}`:                             `metadata.labels[a]: must be at most 63`,
		`{labels: {a: ` + strings.Repeat("x", 64) + `}}`: `metadata.labels[a]: must be at most 63`,
		`{annotations: {a: "b\0"}}`:                      `metadata.annotations[a]: must be text without control characters, got "b\x00"`,
		`{annotations: {"a b": c}}`:                      `metadata.annotations: must have keys`,
	} {
		_, err := Parse("spec.yaml", []byte(base+"metadata: "+text+"\n"))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}
