package reconcile_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
)

const (
	debian13 = "3.0.11-1"
	newer    = "3.4.7-1"
	checks   = "check the configuration with haproxy " + newer + ", it was checked with " + debian13
)

// upgraded is a host on which somebody upgraded HAProxy from 3.0 to 3.4, which refuses what was rendered for 3.0.
func upgraded(t *testing.T, prepare func(h *fake.Host)) *fake.Host {
	t.Helper()
	h := fake.New()
	h.Archive["haproxy"] = []string{debian13}
	must(t, h, parse(t, spec))
	h.Forbidden = map[string]string{"haproxy " + newer: "frontend web\n"}
	if prepare != nil {
		prepare(h)
	}
	upgrade(h, "haproxy", newer)
	h.Log = nil
	return h
}

// upgrade upgrades a package as an administrator does with apt.
func upgrade(h *fake.Host, name, version string) {
	h.Archive[name] = []string{version}
	adminInstalls(h, name+"="+version)
}

// TestUpgradedHAProxy: a new version of a program gets its own files. The new version checks them, and they come into
// force.
func TestUpgradedHAProxy(t *testing.T) {
	doc := parse(t, spec)
	h := upgraded(t, nil)
	if strings.Contains(h.Loaded("haproxy.service"), "web:in") {
		t.Fatal("the package's own reload went well")
	}
	wantCondition(t, statusOf(t, h, doc, nil), "InSync", "False", "Drifted", checks)
	wantLines(t, "steps", texts(must(t, h, doc).Steps), checks, writeCfg, reload)
	if got := h.Loaded("haproxy.service"); got != h.Text("/etc/haproxy/haproxy.cfg") || !strings.Contains(got, "frontend web:in\n") {
		t.Errorf("HAProxy runs:\n%s", got)
	}
	quiet(t, h, doc)
	upgrade(h, "haproxy", debian13)
	wantLines(t, "plan", planOf(t, h, doc), "check the configuration with haproxy "+debian13+", it was checked with "+newer, writeCfg, reload)
	must(t, h, doc)
	quiet(t, h, doc)
}

// TestReplacedHAProxy: a program was replaced and wants the same files. After a run its processes run the new program.
func TestReplacedHAProxy(t *testing.T) {
	doc := parse(t, spec)
	for name, test := range map[string]struct {
		keeps bool
		want  []string
	}{
		"reloaded by its package": {false, nil},
		"not reloaded":            {true, []string{reload}},
	} {
		h := installed(t, doc)
		was := h.Installed("haproxy")
		h.KeepsOld = test.keeps
		upgrade(h, "haproxy", "2.6.13-1")
		want := append([]string{"check the configuration with haproxy 2.6.13-1, it was checked with " + was}, test.want...)
		wantLines(t, name, texts(must(t, h, doc).Steps), want...)
		quiet(t, h, doc)
	}
}

// TestRefusedByTheNewVersion: files that the new version refuses do not come into force. The host reports this until the
// spec or the program changes.
func TestRefusedByTheNewVersion(t *testing.T) {
	doc := parse(t, spec)
	h := upgraded(t, func(h *fake.Host) { h.Forbidden["haproxy "+newer] = "balance" })
	before := h.Dump(memory...)
	_, _, err := once(t, h, doc)
	if refusal := (*host.Refusal)(nil); !errors.As(err, &refusal) || len(h.Log) > 0 {
		t.Errorf("error %v, effects %q", err, h.Log)
	}
	same(t, "a refusal", h, before, memory...)
	wantCondition(t, statusOf(t, h, doc, nil), "InSync", "False", "Drifted", checks)
	h.Forbidden = nil
	must(t, h, doc)
	quiet(t, h, doc)
}

// TestOtherVersionIsInstalledBeforeItsFilesAreChecked: files for a version that is yet to be installed are checked by that
// version, not by the present one.
func TestOtherVersionIsInstalledBeforeItsFilesAreChecked(t *testing.T) {
	h := fake.New()
	h.Archive["haproxy"] = []string{debian13}
	must(t, h, parse(t, spec))
	h.Archive["haproxy"] = []string{newer, debian13}
	h.Forbidden = map[string]string{"haproxy " + debian13: "init-state"}
	doc := parse(t, spec+"packages: {haproxy: {version: '3.4.*'}}\n")
	must(t, h, doc)
	quiet(t, h, doc)
}

// TestReplacedKeepalived: a replaced keepalived is restarted if this host holds no virtual IP; else the restart waits until
// it holds none.
func TestReplacedKeepalived(t *testing.T) {
	doc := parse(t, spec)
	h := installed(t, doc)
	h.KeepsOld = true
	h.Role = host.RoleMaster
	h.Net[1].Prefixes = slices.Clone(h.Net[1].Prefixes)
	before := len(h.Net[1].Prefixes)
	hold(h, "198.51.100.10")
	upgrade(h, "keepalived", "1:2.3.4-1")
	result := must(t, h, doc)
	wantLines(t, "steps", texts(result.Steps), "check the configuration with keepalived 1:2.3.4-1, it was checked with 1:2.2.7-1+b2")
	s := statusOf(t, h, doc, nil)
	wantLines(t, "pending", s.Pending, "keepalived.service still runs the program from before an upgrade; it is restarted when this host holds no virtual IP")
	if !s.Is("InSync") {
		t.Errorf("not in sync: %+v", s.Conditions)
	}
	h.Role, h.Net[1].Prefixes = "", h.Net[1].Prefixes[:before]
	wantLines(t, "steps", texts(must(t, h, doc).Steps), "restart keepalived.service, which still runs the program from before an upgrade")
	if s := statusOf(t, h, doc, nil); len(s.Pending) > 0 {
		t.Errorf("still pending: %q", s.Pending)
	}
	quiet(t, h, doc)
}
