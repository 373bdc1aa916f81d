package reconcile_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/state"
)

// history lists the kept generations as "1:digest".
func history(t *testing.T, h *fake.Host) []string {
	t.Helper()
	all, err := state.History(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, g := range all {
		texts = append(texts, fmt.Sprintf("%d:%.6s", g.Number, g.Digest))
	}
	return texts
}

func generation(n int, doc *api.Document) string { return fmt.Sprintf("%d:%.6s", n, doc.Digest) }

// port is the spec with a different port.
func port(t *testing.T, n int) *api.Document { return edited(t, "9000", fmt.Sprint(n)) }

func TestGenerations(t *testing.T) {
	a, b := port(t, 9000), port(t, 9001)
	h := installed(t, a)
	must(t, h, a) // the same spec again is no new generation
	wantLines(t, "history", history(t, h), generation(1, a))
	h.Busy[9001] = true
	if _, _, err := once(t, h, b); err == nil {
		t.Fatal("haproxy cannot have taken port 9001")
	}
	wantLines(t, "history after a change that was undone", history(t, h), generation(1, a))
	delete(h.Busy, 9001)
	synctest.Test(t, func(t *testing.T) {
		r := reconcile.Reconciler{Host: h, Log: discard, By: "alice"}
		if _, err := r.Once(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	})
	h.Crash("haproxy.service")
	must(t, h, b) // a repair of drift is no new generation
	must(t, h, a)
	wantLines(t, "history", history(t, h), generation(1, a), generation(2, b), generation(3, a))

	g, doc, err := state.Kept(t.Context(), h, 0)
	if err != nil || g.Number != 2 || g.By != "alice" || g.Time.IsZero() || doc.Digest != b.Digest {
		t.Errorf("the one before is %+v, %v", g, err)
	}
	if got := h.Text("/var/lib/rlb/generations/2/spec.yaml"); got != string(b.Data) {
		t.Errorf("kept spec:\n%s", got)
	}
	for _, path := range []string{"/etc/haproxy/haproxy.cfg", "/var/lib/rlb/rules.v4"} {
		if !strings.Contains(h.Text("/var/lib/rlb/generations/2/files"+path), "9001") {
			t.Errorf("the rendered %s is not kept", path)
		}
	}
	if good, err := state.LastGood(t.Context(), h); err != nil || good.Digest != a.Digest {
		t.Errorf("the last good one: %v", err)
	}
	must(t, h, doc) // the rollback
	wantLines(t, "history after a rollback", history(t, h), generation(1, a), generation(2, b), generation(3, a), generation(4, b))
	if g, _, err := state.Kept(t.Context(), h, 0); err != nil || g.Number != 3 { // a second rollback undoes the first
		t.Errorf("the one before a rollback is %+v, %v", g, err)
	}
	quiet(t, h, doc)
}

func TestGenerationsAreBounded(t *testing.T) {
	h := fake.New()
	var want []string
	for i := range 13 {
		doc := port(t, 9000+i)
		must(t, h, doc)
		if i >= 3 {
			want = append(want, generation(i+1, doc))
		}
	}
	wantLines(t, "history", history(t, h), want...)
	for n := 1; n <= 13; n++ {
		kept := strings.Contains(h.Dump(), fmt.Sprintf("file /var/lib/rlb/generations/%d/", n))
		if kept != (n > 3) {
			t.Errorf("files of generation %d: %t", n, kept)
		}
	}
}

// TestGenerationKilled: a kill at any effect of the eleventh generation leaves nothing behind after the next run, and the
// list is then correct.
func TestGenerationKilled(t *testing.T) {
	full := fake.New()
	for i := range 10 {
		must(t, full, port(t, 9000+i))
	}
	for n := 1; ; n++ {
		h := full.Clone()
		h.StopAfter(n)
		last := port(t, 9010)
		_, killed, _ := once(t, h, last)
		h.Heal()
		must(t, h, last)
		quiet(t, h, last)
		dump := h.Dump()
		if got := history(t, h); len(got) != 10 || got[0] != generation(2, port(t, 9001)) || got[9] != generation(11, last) {
			t.Fatalf("kill after effect %d: history %q", n, got)
		}
		if strings.Contains(dump, "/generations/1/") || strings.Contains(dump, "/generations/12/") {
			t.Fatalf("kill after effect %d: files of a generation that is not kept", n)
		}
		if !killed {
			return
		}
	}
}

// TestGenerationIsWhole: files kept by a run that was killed are not mixed with those of the next run.
func TestGenerationIsWhole(t *testing.T) {
	h, other := installed(t, port(t, 9000)), port(t, 9001)
	whole := h.Clone()
	must(t, whole, other)
	h.StopAfter(effect(t, whole, "WriteFile /var/lib/rlb/generations/2/files/var/lib/rlb/rules.v4"))
	if _, killed, _ := once(t, h, other); !killed {
		t.Fatal("not killed")
	}
	h.Heal()
	must(t, h, parse(t, spec+"firewall: {manage: false}\n"))
	if strings.Contains(h.Dump(), "/generations/2/files/var/lib/rlb/rules.v4") {
		t.Error("the second generation has a file of the one that never was")
	}
}

func TestNoSuchGeneration(t *testing.T) {
	a, b := port(t, 9000), port(t, 9001)
	h := fake.New()
	if doc, err := state.LastGood(t.Context(), h); doc != nil || err != nil {
		t.Errorf("a bare host has no last good spec: %v", err)
	}
	kept := func(n int) string {
		_, _, err := state.Kept(t.Context(), h, n)
		if err == nil {
			return ""
		}
		return fmt.Sprintf("%t %v", errors.Is(err, state.ErrNoGeneration), err)
	}
	for _, test := range []struct {
		setup  func()
		number int
		want   string
	}{
		{func() {}, 0, "true cannot go back: no such generation: no earlier spec is kept"},
		{func() { must(t, h, a) }, 0, "true cannot go back: no such generation: no earlier spec is kept"},
		{func() {}, 1, ""},
		{func() {}, 2, "true cannot find generation 2 (rlb-agent history lists them): no such generation"},
		{func() { must(t, h, b) }, 0, ""},
		{func() { h.Put("/var/lib/rlb/generations/1/spec.yaml", spec+"# more\n", 0o600) }, 1,
			"false cannot read generation 1: /var/lib/rlb/generations/1/spec.yaml was changed since it was in force"},
		{func() { h.Admin(removes("/var/lib/rlb/generations")) }, 1,
			"false cannot read generation 1: /var/lib/rlb/generations/1/spec.yaml is gone"},
	} {
		test.setup()
		if got := kept(test.number); got != test.want {
			t.Errorf("generation %d:\ngot  %s\nwant %s", test.number, got, test.want)
		}
	}
	quiet(t, h, b) // a host without its generations still works
	must(t, h, a)
	if good, err := state.LastGood(t.Context(), h); err != nil || good.Digest != a.Digest {
		t.Errorf("the last good one: %v", err)
	}
}
