package api

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rlb.dev/rlb-agent/api/yamlfile"
)

// base is a valid spec of eight lines. What is appended to it stands from line 9 on: a field of the server with
// four spaces, of the service with two, of the spec with none.
const base = `apiVersion: rlb.dev/v1
kind: LoadBalancerSpec
virtualIPs: [192.168.3.240]
services:
- name: web
  port: 80
  servers:
  - address: 192.168.3.251
`

// with is base with old replaced, or with text appended where old is empty.
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

// expect parses and compares all problems, each "LINE:COL: PATH: MESSAGE".
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

// rule is one rule of the language: a spec that breaks it, with what is said, and a neighbour that keeps it.
type rule struct {
	old       string // what is replaced in base; appended where empty
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
