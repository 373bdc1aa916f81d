package reconcile_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"rlb.dev/rlb-agent/reconcile/host/fake"
)

// effect is the number of an effect in the log, counted from 1.
func effect(t *testing.T, h *fake.Host, name string) int {
	t.Helper()
	n := slices.Index(h.Log, name) + 1
	if n == 0 {
		t.Fatalf("there was no effect %q in %q", name, h.Log)
	}
	return n
}

// TestLostReload: the file is written, and the agent dies before the reload. The next run sees the correct file and must
// still reload.
func TestLostReload(t *testing.T) {
	edit := edited(t, "9000", "9001")
	whole := installed(t, parse(t, spec))
	must(t, whole, edit)
	reload := effect(t, whole, "ReloadUnit haproxy.service")

	h := installed(t, parse(t, spec))
	h.StopBefore(reload)
	if _, killed, _ := once(t, h, edit); !killed {
		t.Fatal("not killed")
	}
	h.Heal()
	if file := h.Text("/etc/haproxy/haproxy.cfg"); !strings.Contains(file, "9001") || strings.Contains(h.Loaded("haproxy.service"), "9001") {
		t.Fatal("the kill came at the wrong moment")
	}
	wantLines(t, "plan after the kill", planOf(t, h, edit), "reload rlb-handover.service", "reload haproxy.service")
	must(t, h, edit)
	if h.Loaded("haproxy.service") != h.Text("/etc/haproxy/haproxy.cfg") {
		t.Error("haproxy still runs its old configuration")
	}
	quiet(t, h, edit)
}

// TestLostVerification: the reload is done, the worker could not bind, and the agent dies before it verifies. The next run
// must find this.
func TestLostVerification(t *testing.T) {
	edit := edited(t, "9000", "9001")
	whole := installed(t, parse(t, spec))
	must(t, whole, edit)
	h := installed(t, parse(t, spec))
	h.Busy[9001] = true
	h.StopAfter(effect(t, whole, "ReloadUnit haproxy.service"))
	if _, killed, _ := once(t, h, edit); !killed {
		t.Fatal("not killed")
	}
	h.Heal()
	if _, _, err := once(t, h, edit); err == nil {
		t.Error("the next run calls it good, though haproxy runs its old configuration")
	}
	delete(h.Busy, 9001)
	must(t, h, edit)
	if h.Loaded("haproxy.service") != h.Text("/etc/haproxy/haproxy.cfg") {
		t.Error("haproxy still runs its old configuration")
	}
}

// TestKilledWhileUndoing: an agent that is killed during an undo leaves a host that a run with the previous spec repairs.
func TestKilledWhileUndoing(t *testing.T) {
	good, bad := parse(t, spec), edited(t, "9000", "9001")
	whole := installed(t, good)
	want := whole.Dump(memory...)
	for n := 1; ; n++ {
		h := installed(t, good)
		h.Busy[9001] = true
		h.StopAfter(n)
		_, killed, err := once(t, h, bad)
		if !killed {
			if err == nil {
				t.Fatal("port 9001 is busy, but the run ended well")
			}
			return
		}
		at := h.Log[n-1]
		h.Heal()
		must(t, h, good)
		same(t, "a kill after "+at, h, want, memory...)
		quiet(t, h, good)
	}
}

// TestOldSnapshot: what apt's install script changed since the look must be found.
func TestOldSnapshot(t *testing.T) {
	doc := parse(t, spec)
	t.Run("stock configuration", func(t *testing.T) {
		h := installed(t, doc)
		if !strings.Contains(h.Text("/etc/haproxy/haproxy.cfg"), "frontend web") || h.Loaded("haproxy.service") != h.Text("/etc/haproxy/haproxy.cfg") {
			t.Error("haproxy runs its package's own configuration")
		}
		if got := h.Text("/var/lib/rlb/before/etc/haproxy/haproxy.cfg"); got != "" {
			t.Errorf("the package's own configuration is remembered as the host's: %q", got)
		}
	})
	t.Run("daemon that an upgrade restarts", func(t *testing.T) {
		h := installed(t, doc)
		h.Archive["keepalived"] = []string{"1:2.3.3-1", "1:2.2.7-1+b2"}
		pinned := parse(t, spec+"packages: {keepalived: {version: '1:2.3.*'}}\n")
		result := must(t, h, pinned)
		wantLines(t, "steps", texts(result.Steps), "install keepalived 1:2.3.*",
			"check the configuration with keepalived 1:2.3.3-1, it was checked with 1:2.2.7-1+b2")
		quiet(t, h, pinned)
	})
	t.Run("other version than expected", func(t *testing.T) {
		h := fake.New()
		h.Archive["haproxy"] = []string{"3.0.11-1", "2.0.29-1"}
		old := parse(t, spec+"packages: {haproxy: {version: '2.0.*'}}\nproxy: {stats: {address: '127.0.0.1:8404'}}\n")
		must(t, h, old)
		if strings.Contains(h.Text("/etc/haproxy/haproxy.cfg"), "prometheus-exporter") {
			t.Error("rendered for the version that apt offers, not for the one that was installed")
		}
		quiet(t, h, old)
	})
}

func TestFirewallNoLongerManaged(t *testing.T) {
	h := installed(t, parse(t, spec))
	h.Reboot() // so that rlb-firewall.service ran
	none := parse(t, spec+"firewall: {manage: false}\n")
	wantLines(t, "steps", texts(must(t, h, none).Steps),
		"remove the IPv4 firewall rules",
		"remove the IPv6 firewall rules",
		"disable rlb-firewall.service",
		"stop rlb-firewall.service",
		"remove /etc/systemd/system/rlb-firewall.service",
		"remove /var/lib/rlb/rules.v4",
		"remove /var/lib/rlb/rules.v6",
		"make systemd read its changed units",
	)
	for _, trace := range []string{"RLB-INPUT", "rlb-firewall", "rules.v"} {
		if strings.Contains(h.Dump(memory...), trace) {
			t.Errorf("%s is still there:\n%s", trace, h.Dump(memory...))
		}
	}
	quiet(t, h, none)
	must(t, h, parse(t, spec))
	quiet(t, h, parse(t, spec))
}

// TestConfigurationMoves: the unit's environment names another file. That file gets the configuration, and the old path
// gets its original back.
func TestConfigurationMoves(t *testing.T) {
	const first = "# the administrator's first\n"
	doc := parse(t, spec)
	h := fake.New()
	adminInstalls(h, "haproxy", "keepalived")
	h.Put("/etc/haproxy/haproxy.cfg", first, 0o600)
	must(t, h, doc)
	h.Put("/etc/default/haproxy", "CONFIG=/srv/haproxy.cfg\n", 0o644)
	h.Put("/etc/default/keepalived", "DAEMON_ARGS='-f /srv/keepalived.conf'\n", 0o644)
	must(t, h, doc)
	f, err := h.File(context.Background(), "/etc/haproxy/haproxy.cfg")
	if err != nil || string(f.Data) != first || f.Mode != 0o600 {
		t.Errorf("the old place has %04o %q (%v), want the original", f.Mode, f.Data, err)
	}
	if h.Text("/etc/keepalived/keepalived.conf") != "" {
		t.Error("keepalived's old place had no file before")
	}
	for unit, path := range map[string]string{"haproxy.service": "/srv/haproxy.cfg", "keepalived.service": "/srv/keepalived.conf"} {
		if h.Loaded(unit) == "" || h.Loaded(unit) != h.Text(path) {
			t.Errorf("%s has not loaded %s", unit, path)
		}
	}
	quiet(t, h, doc)
	h.Reboot()
	quiet(t, h, doc)
	if h.Loaded("keepalived.service") == "" {
		t.Error("keepalived does not start at boot")
	}
}

// TestFirstOriginalIsKept: the original is kept once, whatever happens later.
func TestFirstOriginalIsKept(t *testing.T) {
	const first, second = "# the administrator's first\n", "# scribbled over the agent's\n"
	kept := func(h *fake.Host) string { return h.Text("/var/lib/rlb/before/etc/haproxy/haproxy.cfg") }
	doc, edit := parse(t, spec), edited(t, "9000", "9001")
	h := fake.New()
	adminInstalls(h, "haproxy")
	h.Put("/etc/haproxy/haproxy.cfg", first, 0o600)
	must(t, h, doc)
	h.Put("/etc/haproxy/haproxy.cfg", second, 0o644)
	must(t, h, doc)
	must(t, h, edit)
	if kept(h) != first {
		t.Errorf("kept %q, want the first original", kept(h))
	}

	// A move that fails is undone, and the undo must not treat the agent's own file as the original.
	h.Put("/etc/default/haproxy", "CONFIG=/srv/haproxy.cfg\n", 0o644)
	h.Busy[9001] = true
	if _, _, err := once(t, h, edit); err == nil {
		t.Fatal("haproxy cannot have started")
	}
	h.Put("/etc/default/haproxy", "", 0o644)
	delete(h.Busy, 9001)
	must(t, h, edit)
	if kept(h) != first {
		t.Errorf("after a move that failed: kept %q, want the first original", kept(h))
	}
	quiet(t, h, edit)
}

// TestUndoneRunIsForgotten: an undone run leaves no memory. What the administrator does after it is the original.
func TestUndoneRunIsForgotten(t *testing.T) {
	const own = "# the administrator's own, written after the agent gave up\n"
	h := fake.New()
	h.Forbidden["haproxy"] = "9001"
	if _, _, err := once(t, h, edited(t, "9000", "9001")); err == nil {
		t.Fatal("not refused")
	}
	h.Put("/etc/haproxy/haproxy.cfg", own, 0o600)
	adminInstalls(h, "haproxy")
	must(t, h, parse(t, spec))
	if got := h.Text("/var/lib/rlb/before/etc/haproxy/haproxy.cfg"); got != own {
		t.Errorf("kept %q, want the administrator's own", got)
	}
}

// TestKilledAfterTheInstallation: packages of a run that died right after their installation are still the agent's to
// remove.
func TestKilledAfterTheInstallation(t *testing.T) {
	doc := parse(t, spec)
	whole := installed(t, doc)
	h := fake.New()
	must(t, h, doc)
	n := effect(t, h, "InstallPackages haproxy keepalived iptables nftables")
	h = fake.New()
	h.StopAfter(n)
	if _, killed, _ := once(t, h, doc); !killed {
		t.Fatal("not killed")
	}
	h.Heal()
	must(t, h, doc)
	for _, name := range []string{"haproxy", "keepalived", "iptables"} {
		entry := `    "` + name + `"`
		if !strings.Contains(whole.Text("/var/lib/rlb/memory.json"), entry) || !strings.Contains(h.Text("/var/lib/rlb/memory.json"), entry) {
			t.Errorf("nobody remembers that %s was brought:\n%s", name, h.Text("/var/lib/rlb/memory.json"))
		}
	}
}
