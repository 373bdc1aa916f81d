package reconcile_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/status"
)

// logged runs the agent once, writes the status, and returns the log.
func logged(t *testing.T, h *fake.Host) string {
	t.Helper()
	log, doc := new(bytes.Buffer), parse(t, spec)
	synctest.Test(t, func(t *testing.T) {
		r := reconcile.Reconciler{Host: h, Log: slog.New(slog.NewTextHandler(log, nil))}
		result, err := r.Once(t.Context(), doc)
		if err != nil {
			t.Errorf("the run failed: %v", err)
		}
		if _, err := status.Write(t.Context(), h, status.Report{Doc: doc, Result: result}); err != nil {
			t.Errorf("cannot write the status: %v", err)
		}
	})
	return log.String()
}

// TestGarbledRunFiles: a damaged file under /run/rlb stops nothing. The host stays as it is except for a reload, and the
// damage is logged once.
func TestGarbledRunFiles(t *testing.T) {
	for _, path := range state.DerivedFiles() {
		for _, text := range []string{"", "\x00", `{"fault": tr`, "null", "[]", `{"kind": 1, "haproxy.service": [], "found": "", "role": 1, "identities": 1, "digest": 1, "fault": 1, "began": 1}`} {
			h := installed(t, parse(t, spec))
			logged(t, h)
			before := timeless(h, memory...)
			h.Put(path, text, 0o600)
			first := logged(t, h)
			if n := strings.Count(first, "removing "+path); n != 1 && text != "null" {
				t.Errorf("%s of %q is logged %d times", path, text, n)
			}
			if again := logged(t, h); strings.Contains(again, path) {
				t.Errorf("%s of %q is logged again: %s", path, text, again)
			}
			sameText(t, path+" of "+text, before, timeless(h, memory...))
			quiet(t, h, parse(t, spec))
		}
	}
}

// TestGarbledMemory: a damaged memory is read from its copy. This is logged once, and the memory is repaired by the run.
func TestGarbledMemory(t *testing.T) {
	for name, spoil := range map[string]func(*fake.Host){
		"torn":    func(h *fake.Host) { h.Put(state.MemoryFile, h.Text(state.MemoryFile)[:99], 0o600) },
		"garbled": func(h *fake.Host) { h.Put(state.MemoryFile, `{"files": null}`, 0o600) },
		"gone":    func(h *fake.Host) { h.Admin(removes(state.MemoryFile)) },
	} {
		h := hosts["packages of the administrator"]()
		bare := timeless(h)
		must(t, h, parse(t, spec))
		want := h.Text(state.MemoryFile)
		spoil(h)
		torn := h.Clone()
		if log := logged(t, h); strings.Count(log, "cannot read the record of earlier runs: using its copy") != 1 {
			t.Errorf("%s: %s", name, log)
		}
		sameText(t, name, want, h.Text(state.MemoryFile))
		quiet(t, h, parse(t, spec))
		mustTearDown(t, torn, false)
		sameText(t, name+", torn down", bare, timeless(torn))
	}
}

// TestUndoneAfterAPurge: a purge of the package without teardown removes the memory and leaves the files that keepalived and
// the units at boot read. A later run that is undone leaves them too.
func TestUndoneAfterAPurge(t *testing.T) {
	purged := installed(t, parse(t, spec))
	purged.Admin(removes(state.MemoryFile, state.MemoryFile+".copy"))
	before := timeless(purged, memory...)
	for n := 1; ; n++ {
		h := purged.Clone()
		h.FailAt(n, errors.New("cannot do it: no"))
		_, _, err := once(t, h, edited(t, "9000", "9001"))
		if err == nil {
			break
		}
		h.Heal()
		sameText(t, fmt.Sprintf("undone after effect %d", n), before, timeless(h, memory...))
	}
}

// TestFormerRouterIsLost: if the record of the former virtual router is lost, the host still waits while the waiting
// process runs.
func TestFormerRouterIsLost(t *testing.T) {
	for _, spoil := range []func(*fake.Host){
		func(h *fake.Host) { h.Admin(removes(state.FormerFile)) },
		func(h *fake.Host) { h.Put(state.FormerFile, "{", 0o600) },
	} {
		h := installed(t, parse(t, spec))
		h.Adverts = routersOf(t, spec)
		must(t, h, parse(t, otherRouter))
		spoil(h)
		must(t, h, parse(t, otherRouter))
		if id := active(t, h); id != "" {
			t.Errorf("keepalived runs as %q beside its peer", id)
		}
		h.Crash("rlb-rejoin.service")
		must(t, h, parse(t, otherRouter))
		if id := active(t, h); id != "7" {
			t.Errorf("nothing waits, and keepalived runs as %q", id)
		}
	}
}

// TestGarbledTrial: a trial with a damaged record ends, and leaves nothing behind.
func TestGarbledTrial(t *testing.T) {
	h := installed(t, parse(t, spec))
	begin(t, h, port(t, 9001))
	for _, path := range []string{state.TrialFile, state.TrialFile + ".copy"} {
		h.Put(path, "{", 0o600)
	}
	if log := logged(t, h); !strings.Contains(log, "ending a trial") {
		t.Errorf("log: %s", log)
	}
	if strings.Contains(h.Dump(), "/trial.") || strings.Contains(h.Text("/etc/haproxy/haproxy.cfg"), "9001") {
		t.Errorf("left:\n%s", h.Dump())
	}
}

// TestTableHasEveryFile: every file that the agent writes in these runs is in the table, with its mode.
func TestTableHasEveryFile(t *testing.T) {
	h := original()
	logged(t, h)
	begin(t, h, port(t, 9001))
	err := errors.Join(
		state.GuardRecord{}.Write(t.Context(), h), state.DriftRecord{}.Write(t.Context(), h), state.RoleRecord{}.Write(t.Context(), h),
		(&state.FormerRouter{}).Write(t.Context(), h), (&state.Refusal{}).Write(t.Context(), h))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^file (/(?:run|var/lib)/rlb/\S+) (\d+) `).FindAllStringSubmatch(h.Dump(), -1) {
		for _, p := range state.Paths {
			if m[1] == p.Path || strings.HasSuffix(p.Path, "/") && strings.HasPrefix(m[1], p.Path) {
				found[m[1]] = true
				if want := fmt.Sprintf("%04o", p.Mode); m[2] != want {
					t.Errorf("%s has mode %s, the table says %s", m[1], m[2], want)
				}
			}
		}
		if !found[m[1]] {
			t.Errorf("%s is not in state.Paths", m[1])
		}
	}
	if len(found) < 20 {
		t.Errorf("only %d files", len(found))
	}
}
