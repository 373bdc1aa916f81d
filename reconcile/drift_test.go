package reconcile_test

import (
	"context"
	"testing"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
)

func TestHolds(t *testing.T) {
	hold, free, silent := parse(t, spec), parse(t, spec+"packages: {hold: false}\n"), parse(t, spec+"packages: {manage: false}\n")
	admin := func(h *fake.Host, held bool) {
		h.Admin(func(ctx context.Context, h host.Host) error { return h.HoldPackage(ctx, "haproxy", held) })
	}
	t.Run("released where the agent held", func(t *testing.T) {
		h := installed(t, hold)
		must(t, h, free)
		if h.Held("haproxy") || h.Held("keepalived") {
			t.Error("still held")
		}
		quiet(t, h, free)
	})
	t.Run("released where packages are no longer managed", func(t *testing.T) {
		h := installed(t, hold)
		must(t, h, silent)
		if h.Held("haproxy") {
			t.Error("still held")
		}
		quiet(t, h, silent)
	})
	t.Run("somebody else's stays", func(t *testing.T) {
		h := fake.New()
		adminInstalls(h, "haproxy")
		admin(h, true)
		for _, doc := range []string{"", "packages: {hold: false}\n", "packages: {manage: false}\n"} {
			must(t, h, parse(t, spec+doc))
			if !h.Held("haproxy") {
				t.Errorf("the administrator's hold was released by %q", doc)
			}
		}
	})
	t.Run("somebody else's after the agent's was released", func(t *testing.T) {
		h := installed(t, hold)
		must(t, h, free)
		admin(h, true)
		quiet(t, h, free)
	})
	t.Run("taken away by somebody else", func(t *testing.T) {
		h := installed(t, hold)
		admin(h, false)
		wantLines(t, "plan", planOf(t, h, hold), "hold package haproxy")
	})
}

// TestDriftIsRepaired: a run repairs pins, broken packages, and units that somebody masked, stopped or disabled.
func TestDriftIsRepaired(t *testing.T) {
	doc := parse(t, spec)
	pinned := parse(t, spec+"packages: {haproxy: {version: '*deb12u3'}}\n")
	for name, test := range map[string]struct {
		drift func(h *fake.Host)
		doc   string
		want  []string
	}{
		"pin":           {func(*fake.Host) {}, "packages: {haproxy: {version: '*deb12u3'}}\n", []string{"install haproxy *deb12u3"}},
		"pin that fits": {func(*fake.Host) {}, "packages: {haproxy: {version: '2.6.*'}}\n", nil},
		"broken package": {func(h *fake.Host) { h.Break("keepalived") }, "",
			[]string{"repair packages that are half installed", "install keepalived"}},
		"masked and stopped": {func(h *fake.Host) { h.Crash("haproxy.service"); h.MaskForGood("haproxy.service") }, "",
			[]string{"unmask haproxy.service", "enable haproxy.service", "start haproxy.service"}},
		"crashed": {func(h *fake.Host) { h.Crash("keepalived.service") }, "", []string{"start keepalived.service"}},
		"disabled": {func(h *fake.Host) {
			h.Admin(func(ctx context.Context, h host.Host) error { return h.DisableUnit(ctx, "keepalived.service") })
		}, "", []string{"enable keepalived.service"}},
		"file changed": {func(h *fake.Host) { h.Put("/etc/keepalived/keepalived.conf", "", 0o640) }, "",
			[]string{"write /etc/keepalived/keepalived.conf", "reload keepalived.service"}},
		"file's mode changed": {func(h *fake.Host) {
			h.Put("/var/lib/rlb/rules.v4", h.Text("/var/lib/rlb/rules.v4"), 0o666)
		}, "", []string{"write /var/lib/rlb/rules.v4"}},
		"unit file changed": {func(h *fake.Host) { h.Put("/etc/systemd/system/rlb-firewall.service", "", 0o644) }, "",
			[]string{"write /etc/systemd/system/rlb-firewall.service", "make systemd read its changed units"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := installed(t, doc)
			test.drift(h)
			wanted := parse(t, spec+test.doc)
			wantLines(t, "plan", planOf(t, h, wanted), test.want...)
			must(t, h, wanted)
			quiet(t, h, wanted)
		})
	}
	h := installed(t, pinned)
	if got := h.Installed("haproxy"); got != "2.6.12-1+deb12u3" {
		t.Errorf("pinned haproxy is %s", got)
	}
}
