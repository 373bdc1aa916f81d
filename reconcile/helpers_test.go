package reconcile_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/plan"
)

// spec is a small spec; text appended to it is on the top level.
const spec = `apiVersion: rlb.dev/v1
kind: LoadBalancerSpec
virtualIPs: [198.51.100.10]
services:
- name: web
  port: 9000
  servers:
  - address: 198.51.100.21
`

// memory are the paths of the agent's own records, without the files that it manages.
var memory = []string{"/var/lib/rlb/memory.json", "/var/lib/rlb/before/", "/var/lib/rlb/packaged/", "/var/lib/rlb/generations/", "/run/rlb/"}

func parse(t *testing.T, text string) *api.Document {
	t.Helper()
	doc, err := api.Parse("spec.yaml", []byte(text))
	if err != nil {
		t.Fatalf("bad spec in the test: %v", err)
	}
	return doc
}

// edited is the spec with old replaced by new.
func edited(t *testing.T, old, new string) *api.Document {
	t.Helper()
	if !strings.Contains(spec, old) {
		t.Fatalf("the spec has no %q", old)
	}
	return parse(t, strings.ReplaceAll(spec, old, new))
}

// once runs the agent once, in a bubble in which waiting takes no real time. The run may be killed.
func once(t *testing.T, h *fake.Host, doc *api.Document) (result reconcile.Result, killed bool, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := reconcile.Reconciler{Host: h, Log: slog.New(slog.DiscardHandler), Rejoin: []string{"/usr/local/sbin/rlb-agent", "rejoin"}}
		killed = fake.Killed(func() { result, err = r.Once(t.Context(), doc) })
	})
	return result, killed, err
}

// must is once for a run that must succeed.
func must(t *testing.T, h *fake.Host, doc *api.Document) reconcile.Result {
	t.Helper()
	result, killed, err := once(t, h, doc)
	if err != nil || killed {
		t.Fatalf("the run failed (killed %t): %v\neffects: %q", killed, err, h.Log)
	}
	return result
}

// installed is a host on which the agent has applied the spec.
func installed(t *testing.T, doc *api.Document) *fake.Host {
	t.Helper()
	h := fake.New()
	must(t, h, doc)
	h.Log = nil
	return h
}

// quiet fails unless a further run changes nothing and calls no writer.
func quiet(t *testing.T, h *fake.Host, doc *api.Document) {
	t.Helper()
	before := h.Dump()
	h.Log = nil
	if result := must(t, h, doc); len(result.Steps) > 0 || len(h.Log) > 0 {
		t.Errorf("one more run is not empty: steps %v, effects %q", result.Steps, h.Log)
	}
	same(t, "one more run", h, before)
}

// same fails unless the host is as before.
func same(t *testing.T, when string, h *fake.Host, before string, without ...string) {
	t.Helper()
	sameText(t, "after "+when+" the host is not as before", before, h.Dump(without...))
}

func sameText(t *testing.T, when, want, got string) {
	t.Helper()
	if want != got {
		t.Errorf("%s (-want +got):\n%s", when, cmp.Diff(lines(want), lines(got)))
	}
}

func lines(text string) []string { return strings.Split(text, "\n") }

func wantLines(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func texts[S interface{ String() string }](steps []S) []string {
	var all []string
	for _, s := range steps {
		all = append(all, s.String())
	}
	return all
}

// planOf returns the agent's plan, and checks that planning changes nothing.
func planOf(t *testing.T, h *fake.Host, doc *api.Document) []string {
	t.Helper()
	before := h.Dump()
	look, err := plan.FactFinder{Observer: h}.Look(context.Background(), &doc.Spec)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "a look", h, before)
	return texts(look.Plan.Steps())
}

func firewall(t *testing.T, h *fake.Host, family api.Family) host.Firewall {
	t.Helper()
	state, err := h.Firewall(context.Background(), family)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

var discard = slog.New(slog.DiscardHandler)

func adminInstalls(h *fake.Host, packages ...string) {
	h.Admin(func(ctx context.Context, h host.Host) error {
		_, err := h.InstallPackages(ctx, packages...)
		return err
	})
}
