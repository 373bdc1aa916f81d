package state_test

import (
	"path"
	"strings"
	"testing"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/state"
)

// FuzzMemory: no bytes make a reader of durable files panic. An accepted memory names nothing that a teardown must not
// touch, and is read back as it was written.
func FuzzMemory(f *testing.F) {
	for _, seed := range []string{
		``, `null`, `{}`, `[]`, `{"files":null}`, `{"files":{},"units":{},"held":{}}`, `{"version":2}`, `{"version":-1,"files":{},"units":{},"held":{}}`,
		`{"files":{"/a":{"exists":true,"copy":"/etc/shadow","digest":"0"}},"units":{"x.service":{}},"held":{"haproxy":true},"installed":["a-"],"rules":["-A INPUT\n"]}`,
		`{"files":{"/a":{"exists":false,"packaged":{"exists":true,"packaged":null}}},"units":{},"held":{},"generation":1,"generations":[{"number":1}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h := fake.New()
		h.Put(state.MemoryFile, string(data), 0o600)
		h.Put(state.TrialFile, string(data), 0o600)
		if trial, err := state.RunningTrial(t.Context(), h); err == nil && trial.Spec != "" && !path.IsAbs(trial.Spec) {
			t.Errorf("confirm would replace %q", trial.Spec)
		}
		m, err := state.ReadMemory(t.Context(), h)
		if err != nil {
			return
		}
		for name, before := range m.Files {
			if path.Clean(name) != name || !path.IsAbs(name) || before.Exists && before.Copy != state.BeforeDir+name {
				t.Errorf("believed that %q was %+v", name, before)
			}
		}
		for _, name := range m.Installed {
			if strings.HasPrefix(name, "-") || strings.HasSuffix(name, "-") || strings.ContainsAny(name, " \n=/") {
				t.Errorf("believed package %q", name)
			}
		}
		m.Units["haproxy.service"], m.Held["haproxy"] = state.UnitWas{}, false
		if err := m.KeepFile(t.Context(), h, host.File{Path: "/etc/x"}, false); err != nil {
			t.Fatal(err)
		}
		if err := m.Save(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		if again, err := state.ReadMemory(t.Context(), h); err != nil || !again.Copied || len(again.Files) != len(m.Files) {
			t.Errorf("what was believed is not believed again: %v", err)
		}
	})
}

// FuzzDerived: no bytes under /run/rlb make a reader panic or fail.
func FuzzDerived(f *testing.F) {
	for _, seed := range []string{``, `null`, `{}`, `[]`, `{"haproxy.service":{}}`, `{"fault":true,"since":"x"}`, `{"last":{}}`, `{"role":"MASTER"}`, `{"identities":[{}]}`, `{"digest":"0"}`, `{"kind":"x"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h := newDisk()
		for _, path := range state.DerivedFiles() {
			h.Put(path, string(data), 0o600)
		}
		readDerived(t, h)
		if former, err := state.ReadFormer(t.Context(), h); err == nil && former != nil {
			_, _, _ = former.String(), former.Silence(), former.Listen()
		}
		if err := state.ForgetLoaded(t.Context(), h, "haproxy.service"); err != nil {
			t.Error(err)
		}
	})
}
