package fake_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
)

func with(packages ...string) *fake.Host {
	h := fake.New()
	h.Admin(func(ctx context.Context, h host.Host) error {
		_, err := h.InstallPackages(ctx, packages...)
		return err
	})
	return h
}

func TestFirewallIsAllOrNothing(t *testing.T) {
	h := with("iptables")
	load := func(lines ...string) error {
		return h.LoadFirewall(t.Context(), api.IPv4, "*filter\n"+strings.Join(lines, "\n")+"\nCOMMIT\n")
	}
	if err := load(":RLB-INPUT - [0:0]", "-A RLB-INPUT -j DROP", "-I INPUT 1 -j RLB-INPUT", "-A INPUT -p 112 -j ACCEPT"); err != nil {
		t.Fatal(err)
	}
	before := h.Dump()
	for _, bad := range [][]string{
		{"-A INPUT -j DROP", "-A NOSUCH -j DROP"},
		{"-A INPUT -j DROP", "-D INPUT -j REJECT"},
		{"-A INPUT -j DROP", "-I INPUT 9 -j DROP"},
		{"-A INPUT -j DROP", "-A INPUT -j NOSUCH"},
		{"-A INPUT -j DROP", "-X RLB-INPUT"},
		{"-F RLB-INPUT", "-X RLB-INPUT"},
		{"-A INPUT -j DROP", "nonsense"},
	} {
		if err := load(bad...); err == nil {
			t.Errorf("took %q", bad)
		}
	}
	if err := h.LoadFirewall(t.Context(), api.IPv4, "*filter\n-A INPUT -j DROP\n"); err == nil {
		t.Error("took rules without COMMIT")
	}
	if h.Dump() != before {
		t.Errorf("something of what failed was done:\n%s", h.Dump())
	}
	if err := load("-D INPUT -j RLB-INPUT", ":RLB-INPUT - [0:0]", "-X RLB-INPUT", "-D INPUT -p 112 -j ACCEPT"); err != nil || strings.Contains(h.Dump(), "chain") {
		t.Errorf("%v, left:\n%s", err, h.Dump())
	}
}

func TestFaults(t *testing.T) {
	write := func(h *fake.Host, path string) error {
		return h.WriteFile(t.Context(), path, []byte("x\n"), 0o644, 0, 0)
	}
	h, broken := fake.New(), errors.New("broken")
	h.FailAt(2, broken)
	if e1, e2, e3 := write(h, "/1"), write(h, "/2"), write(h, "/3"); e1 != nil || e2 != broken || e3 != nil {
		t.Errorf("FailAt(2): %v, %v, %v", e1, e2, e3)
	}
	h.FailFrom(2, broken)
	if e1, e2, e3 := write(h, "/1"), write(h, "/2"), write(h, "/3"); e1 != nil || e2 != broken || e3 != broken {
		t.Errorf("FailFrom(2): %v, %v, %v", e1, e2, e3)
	}
	h.Heal()
	h.FailMethod("File", broken)
	if _, err := h.File(t.Context(), "/1"); err != broken || write(h, "/4") != nil {
		t.Errorf("FailMethod: %v", err)
	}
	for _, after := range []bool{false, true} {
		h := fake.New()
		if h.StopBefore(2); after {
			h.Heal()
			h.StopAfter(2)
		}
		killed := fake.Killed(func() { _, _, _ = write(h, "/1"), write(h, "/2"), write(h, "/3") })
		if !killed || h.Text("/1") == "" || (h.Text("/2") != "") != after || h.Text("/3") != "" {
			t.Errorf("killed %t, after %t:\n%s", killed, after, h.Dump())
		}
	}
	if want := []string{"WriteFile /1", "WriteFile /2", "WriteFile /3"}; !slices.Equal(h.Log[:3], want) {
		t.Errorf("log %q", h.Log)
	}
}

func TestUnitsLiveAsUnderSystemd(t *testing.T) {
	h := with("haproxy", "keepalived")
	look := func(name string) host.Unit {
		u, err := h.Unit(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	if u := look("haproxy.service"); !u.Active() || !u.Enabled() || u.MainPID == 0 {
		t.Errorf("haproxy after its installation: %+v", u)
	}
	if u := look("keepalived.service"); u.Active() || !u.Enabled() {
		t.Errorf("keepalived without a configuration: %+v", u)
	}
	if err := h.StartUnit(t.Context(), "keepalived.service"); err == nil {
		t.Error("keepalived started without a configuration")
	}

	// a reload keeps the process; a failed bind in the worker does not fail the reload
	first := look("haproxy.service")
	h.Busy[81] = true
	h.Put("/etc/haproxy/haproxy.cfg", "frontend a\n    bind *:81\n", 0o644)
	if err := h.ReloadUnit(t.Context(), "haproxy.service"); err != nil {
		t.Errorf("a reload fails with the job, not the worker: %v", err)
	}
	w, err := h.Workers(t.Context(), "/run/haproxy-master.sock")
	if err != nil || w.Failed != 1 || strings.Contains(h.Loaded("haproxy.service"), "81") {
		t.Errorf("workers %+v, %v", w, err)
	}
	delete(h.Busy, 81)
	if err := h.ReloadUnit(t.Context(), "haproxy.service"); err != nil {
		t.Fatal(err)
	}
	w, _ = h.Workers(t.Context(), "/run/haproxy-master.sock")
	listeners, _ := h.Listeners(t.Context(), w.Current...)
	if len(listeners) != 1 || listeners[0].String() != "0.0.0.0:81" || w.Failed != 0 {
		t.Errorf("listeners %v, workers %+v", listeners, w)
	}
	if u := look("haproxy.service"); u.InvocationID != first.InvocationID || u.MainPID != first.MainPID {
		t.Error("a reload is no restart")
	}

	// masks
	h.Admin(func(ctx context.Context, h host.Host) error { return h.MaskUnit(ctx, "keepalived.service") })
	h.MaskForGood("haproxy.service")
	h.Reboot()
	if look("keepalived.service").Masked() || !look("haproxy.service").Masked() || look("haproxy.service").Active() {
		t.Error("a runtime mask ends with a reboot, the other does not")
	}
}

func TestNeighbours(t *testing.T) {
	h := fake.New()
	vip, peer := netip.MustParseAddr("198.51.100.100"), netip.MustParseAddr("198.51.100.12")
	h.Answers = map[netip.Addr]string{peer: "02:00:00:00:00:0b"}
	found, err := h.Neighbours(t.Context(), "eth0", []netip.Addr{vip, peer})
	if err != nil || len(found) != 1 || found[peer] != h.Answers[peer] {
		t.Errorf("%v, %v", found, err)
	}
	if _, err := h.Neighbours(t.Context(), "nosuch0", nil); err == nil {
		t.Error("asked on an interface that is not there")
	}
}
