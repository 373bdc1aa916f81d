package reconcile_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/state"
)

// TestTeardownDoesNotGuess: without a memory nothing at all is undone.
func TestTeardownDoesNotGuess(t *testing.T) {
	remove := func(paths ...string) func(*fake.Host) { return func(h *fake.Host) { h.Admin(removes(paths...)) } }
	puts := func(text string) func(*fake.Host) {
		return func(h *fake.Host) {
			for _, path := range memoryFiles {
				h.Put(path, text, 0o600)
			}
		}
	}
	none := "firewall: {manage: false}\n"
	for name, test := range map[string]struct {
		spec string
		do   func(h *fake.Host)
		want string
	}{
		"memory gone": {"", remove(memoryFiles...),
			"cannot tell what was here before the first run: /var/lib/rlb/memory.json is gone, so nothing is undone or removed; parts of rlb-agent that are still here: the IPv4 chain RLB-INPUT, the IPv6 chain RLB-INPUT, /etc/haproxy/haproxy.cfg, "},
		"memory gone, after a boot":   {"", func(h *fake.Host) { remove(memoryFiles...)(h); h.Reboot() }, "cannot tell what was here"},
		"memory gone, no firewall":    {none, remove(memoryFiles...), "cannot tell what was here"},
		"all that is remembered gone": {none, remove("/var/lib/rlb"), "cannot tell what was here"},
		"memory gone, the files edited": {none, func(h *fake.Host) {
			remove(memoryFiles...)(h)
			h.Put("/etc/haproxy/haproxy.cfg", own, 0o600)
			h.Put("/etc/keepalived/keepalived.conf", "", 0o600)
		}, "cannot tell what was here"},
		"memory corrupt": {"", puts(`{"files": {`),
			"cannot tell what was here before the first run, so nothing is undone: cannot read /var/lib/rlb/memory.json: "},
		"memory empty":         {"", puts(""), "cannot tell what was here"},
		"memory null":          {"", puts("null"), "cannot tell what was here"},
		"memory without files": {"", puts(`{}`), "cannot tell what was here"},
		"memory with no files": {"", puts(`{"files": null, "units": {}, "held": {}}`), "cannot tell what was here"},
		"memory of a newer agent": {"", puts(`{"version": 2, "files": []}`),
			"cannot tell what was here before the first run, so nothing is undone: cannot read /var/lib/rlb/memory.json: version 2 is newer than this agent knows (1)"},
		"originals gone": {"", remove("/var/lib/rlb/before"),
			"cannot restore /etc/haproxy/haproxy.cfg: its original, /var/lib/rlb/before/etc/haproxy/haproxy.cfg, is gone"},
		"an original changed": {"", func(h *fake.Host) { h.Put("/var/lib/rlb/before/etc/haproxy/haproxy.cfg", "", 0o600) },
			"cannot restore /etc/haproxy/haproxy.cfg: its original, /var/lib/rlb/before/etc/haproxy/haproxy.cfg, was changed"},
		"packages do not tell": {"", func(h *fake.Host) { h.FailMethod("Packages", host.ErrUnavailable) }, "cannot look at packages"},
		"systemd does not tell": {"", func(h *fake.Host) { h.FailMethod("Unit", errors.New("cannot look: the bus is gone")) },
			"cannot look: the bus is gone"},
		"not ready": {"", func(h *fake.Host) { h.NotReady = errors.New("not root") }, "not root"},
	} {
		t.Run(name, func(t *testing.T) {
			h := hosts["packages of the administrator"]()
			daemon(h)
			must(t, h, parse(t, spec+test.spec))
			test.do(h)
			before := h.Dump()
			h.Log = nil
			_, _, err := tornDown(t, h, false)
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
			if len(h.Log) > 0 {
				t.Errorf("effects: %q", h.Log)
			}
			same(t, "a teardown that was refused", h, before)
		})
	}
}

// TestMemoryLostThenRun: a run after the memory was lost does not treat the agent's own files as originals, and does not
// overwrite the kept copies.
func TestMemoryLostThenRun(t *testing.T) {
	h := hosts["packages of the administrator"]()
	doc := parse(t, spec)
	must(t, h, doc)
	h.Admin(removes(memoryFiles...))
	must(t, h, doc)
	quiet(t, h, doc)
	if got := h.Text("/var/lib/rlb/before/etc/haproxy/haproxy.cfg"); got != own {
		t.Errorf("the only copy of the original is overwritten with:\n%s", got)
	}
	mustTearDown(t, h, false)
	if dump := h.Dump(); strings.Contains(dump, "Rendered by") || strings.Contains(dump, "rlb") || h.Loaded("haproxy.service") != own {
		t.Errorf("after the teardown:\n%s", dump)
	}
}

// TestMemoryLostThenUndone: a run that is undone after the memory was lost leaves the only copies of the originals.
func TestMemoryLostThenUndone(t *testing.T) {
	for name, text := range map[string]string{"standard": spec, "no file of the agent's directory is read": spec + "profile: classic\nfirewall: {manage: false}\n"} {
		h := hosts["packages of the administrator"]()
		must(t, h, parse(t, text))
		h.Admin(removes(memoryFiles...))
		h.Busy[9001] = true
		if _, _, err := once(t, h, parse(t, strings.Replace(text, "9000", "9001", 1))); err == nil {
			t.Fatal("it works")
		}
		if got := h.Text("/var/lib/rlb/before/etc/haproxy/haproxy.cfg"); got != own {
			t.Errorf("%s: the only copy of the original is %q", name, got)
		}
		must(t, h, parse(t, text))
		mustTearDown(t, h, false)
		if dump := h.Dump(); strings.Contains(dump, "Rendered by") || strings.Contains(dump, "rlb") || h.Loaded("haproxy.service") != own {
			t.Errorf("%s: after the teardown:\n%s", name, dump)
		}
	}
}

// TestEverythingLostThenRun: if all kept files are lost, the packages count as the administrator's: they stay, but nothing
// of the agent runs or is left.
func TestEverythingLostThenRun(t *testing.T) {
	h, doc := installed(t, parse(t, spec)), parse(t, spec)
	h.Reboot()
	h.Admin(removes("/var/lib/rlb"))
	must(t, h, doc)
	mustTearDown(t, h, false)
	dump := h.Dump()
	for _, trace := range []string{"rlb", "RLB", "active", "failed"} {
		if strings.Contains(dump, trace) || h.Installed("haproxy") == "" {
			t.Fatalf("%s is still there, or the package is gone:\n%s", trace, dump)
		}
	}
}

// TestTeardownAfterAPurge: what the administrator removed since does not stop a teardown.
func TestTeardownAfterAPurge(t *testing.T) {
	h := hosts["packages of the administrator"]()
	must(t, h, parse(t, spec+"packages: {hold: false}\n"))
	h.Admin(func(ctx context.Context, h host.Host) error {
		if err := h.HoldPackage(ctx, "haproxy", false); err != nil {
			return err
		}
		return h.PurgePackages(ctx, "haproxy", "liblua5.3-0")
	})
	mustTearDown(t, h, false)
	if h.Text("/etc/haproxy/haproxy.cfg") != own || strings.Contains(h.Dump(), "rlb") {
		t.Errorf("left:\n%s", h.Dump())
	}
}

func TestTeardownOfAHostThatNeverHadAnything(t *testing.T) {
	for name, host := range hosts {
		h := host()
		before := h.Dump()
		if result := mustTearDown(t, h, false); len(result.Steps)+len(h.Log) > 0 {
			t.Errorf("%s: steps %q, effects %q", name, texts(result.Steps), h.Log)
		}
		same(t, "a teardown of nothing", h, before)
	}
	h := fake.New() // a refused spec left a status
	h.Put(state.StatusFile, "{}\n", 0o600)
	mustTearDown(t, h, false)
	if h.Dump() != fake.New().Dump() {
		t.Errorf("left:\n%s", h.Dump())
	}
}

// TestTeardownIsVerified: HAProxy reports its reload as done but still runs the agent's file: nothing may be forgotten
// then.
func TestTeardownIsVerified(t *testing.T) {
	h := hosts["packages of the administrator"]()
	before := timeless(h)
	must(t, h, parse(t, spec))
	h.Busy[81] = true
	_, _, err := tornDown(t, h, false)
	if err == nil || !strings.HasPrefix(err.Error(), "cannot reload haproxy: its new worker failed") {
		t.Errorf("got %v", err)
	}
	if h.Text("/var/lib/rlb/before/etc/haproxy/haproxy.cfg") != own {
		t.Error("the original is forgotten")
	}
	delete(h.Busy, 81)
	mustTearDown(t, h, false)
	sameText(t, "the second teardown", before, timeless(h))
}

// TestTeardownKilledWhileForgetting: once everything is undone and the memory says so, edited files belong to the
// administrator again.
func TestTeardownKilledWhileForgetting(t *testing.T) {
	h := hosts["packages of the administrator"]()
	must(t, h, parse(t, spec))
	whole := h.Clone()
	mustTearDown(t, whole, false)
	h = h.Clone()
	h.StopAfter(effect(t, whole, "RemoveTree /var/lib/rlb/before"))
	if _, killed, _ := tornDown(t, h, false); !killed {
		t.Fatal("not killed")
	}
	h.Heal()
	h.Put("/etc/haproxy/haproxy.cfg", own+"# more\n", 0o600)
	mustTearDown(t, h, false)
	if h.Text("/etc/haproxy/haproxy.cfg") != own+"# more\n" || strings.Contains(h.Dump(), "rlb") {
		t.Errorf("left:\n%s", h.Dump())
	}
}

// TestTeardownKeepsWhatWasWrittenSince: what the user wrote into rc.local since is not lost.
func TestTeardownKeepsWhatWasWrittenSince(t *testing.T) {
	h := original()
	rc := h.Text("/etc/rc.local")
	must(t, h, parse(t, spec))
	const mine = "#!/bin/sh\necho mine\nexit 0\n"
	h.Put("/etc/rc.local", mine, 0o755)
	mustTearDown(t, h, false)
	if h.Text("/etc/rc.local") != rc || h.Text("/etc/rc.local.replaced") != mine {
		t.Errorf("rc.local %q, kept %q", h.Text("/etc/rc.local"), h.Text("/etc/rc.local.replaced"))
	}
}

// TestTeardownCannotPurge: a package that others need by now stays, and the error names the option to use. Everything else
// is done.
func TestTeardownCannotPurge(t *testing.T) {
	h := fake.New()
	must(t, h, parse(t, spec))
	h.FailMethod("PurgePackages", errors.New("cannot purge iptables: that would also change ufw"))
	_, _, err := tornDown(t, h, false)
	if err == nil || !strings.Contains(err.Error(), "that would also change ufw (rlb-agent teardown --keep-packages leaves") {
		t.Errorf("got %v", err)
	}
	h.Heal()
	mustTearDown(t, h, true)
	if h.Installed("iptables") == "" || strings.Contains(h.Dump(), "rlb") {
		t.Errorf("left:\n%s", h.Dump())
	}
}

func TestTeardownOfMaskedUnits(t *testing.T) {
	h := changes["masked by the administrator"].host(t)
	before := timeless(h)
	must(t, h, parse(t, spec))
	_, _, err := tornDown(t, h, false)
	if err == nil || !strings.Contains(err.Error(), "run systemctl mask haproxy.service") {
		t.Errorf("got %v", err)
	}
	if at := slices.Index(h.Log, "MaskUnit haproxy.service"); at < 0 || at > slices.Index(h.Log, "RemoveTree /var/lib/rlb") {
		t.Errorf("it is masked after the memory is gone: %q", h.Log)
	}
	h.MaskForGood("haproxy.service") // as the error says
	sameText(t, "the teardown", strings.ReplaceAll(before, " failed", ""), timeless(h))
	mustTearDown(t, h, false)

	// a unit that was never changed stays masked
	h = changes["masked by the administrator"].host(t)
	before = timeless(h)
	h.StopAfter(4)
	if _, killed, _ := once(t, h, parse(t, spec)); !killed {
		t.Fatal("not killed")
	}
	h.Heal()
	mustTearDown(t, h, false)
	sameText(t, "the teardown", before, timeless(h))
}

// TestTeardownReloadsWhatRanBefore: a unit that ran before runs again, with its own file at its own path.
func TestTeardownReloadsWhatRanBefore(t *testing.T) {
	h := hosts["packages of the administrator"]()
	must(t, h, parse(t, spec))
	if h.Loaded("haproxy.service") == own {
		t.Fatal("haproxy runs its old configuration")
	}
	h.Log = nil
	mustTearDown(t, h, true)
	if h.Loaded("haproxy.service") != own {
		t.Errorf("haproxy has loaded:\n%s", h.Loaded("haproxy.service"))
	}
	for _, line := range h.Log {
		if line == "StopUnit haproxy.service" || line == "RestartUnit haproxy.service" {
			t.Errorf("%s: what ran before goes on", line)
		}
	}
	if got := firewall(t, h, api.IPv4); got.Chain != nil || len(got.Input) != 1 || !h.Held("haproxy") {
		t.Errorf("firewall %q, held %t", got, h.Held("haproxy"))
	}
}
