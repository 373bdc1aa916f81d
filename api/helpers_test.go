package api

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rlb.dev/rlb-agent/api/yamlfile"
)

// base is a valid spec of eight lines. Text that a test appends begins on line 9: fields of the server are indented by
// four spaces, of the service by two, of the spec by none.
const base = `apiVersion: rlb.dev/v1
kind: LoadBalancerSpec
virtualIPs: [192.168.3.240]
services:
- name: web
  port: 80
  servers:
  - address: 192.168.3.251
`

// with returns base with old replaced by text, or with text appended if old is empty.
func with(t *testing.T, old, text string) string {
	t.Helper()
	if old == "" {
		return base + text + "\n"
	}
	if strings.Count(base, old) != 1 {
		t.Fatalf("base must hold %q once", old)
	}
	return strings.Replace(base, old, text, 1)
}

func mustParse(t *testing.T, text string) *Document {
	t.Helper()
	doc, err := Parse("spec.yaml", []byte(text))
	if err != nil {
		t.Fatalf("refused:\n%v\nspec:\n%s", err, text)
	}
	return doc
}

// expect parses a spec and compares all problems, each "LINE:COL: PATH: MESSAGE".
func expect(t *testing.T, text string, want ...string) {
	t.Helper()
	doc, err := Parse("spec.yaml", []byte(text))
	if err != nil && doc != nil {
		t.Error("got a document beside an error")
	}
	var problems yamlfile.Problems
	if err != nil && !errors.As(err, &problems) {
		t.Fatalf("the error is a %T", err)
	}
	var got []string
	for _, p := range problems {
		got = append(got, strings.TrimPrefix(p.String(), "spec.yaml:"))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s\nspec:\n%s", diff, text)
	}
}

// rule is one rule of the language: a spec that violates it, the expected problem, and a similar spec that is valid.
type rule struct {
	old       string // the text of base to replace; if empty, the spec is appended to base
	bad, want string
	good      string
}

func checkRuleTable(t *testing.T, table map[string]rule) {
	t.Helper()
	for name, r := range table {
		t.Run(name, func(t *testing.T) {
			expect(t, with(t, r.old, r.bad), strings.Split(r.want, "\n")...)
			expect(t, with(t, r.old, r.good))
		})
	}
}
