package reconcile_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render"
	"rlb.dev/rlb-agent/render/vrrp"
)

// routersOf is what a peer with a spec advertises.
func routersOf(t *testing.T, text string) []vrrp.Identity {
	t.Helper()
	rendered, err := render.Render(&parse(t, text).Spec, render.Facts{Interface: "eth0", Subnets: fake.New().Net[1].Prefixes})
	if err != nil {
		t.Fatal(err)
	}
	return rendered.Model.Routers
}

const otherRouter = spec + "vrrp: {routerID: 7}\n"

// active is the router id with which keepalived runs; "" if it does not run.
func active(t *testing.T, h *fake.Host) (id string) {
	t.Helper()
	u, err := h.Unit(t.Context(), "keepalived.service")
	if err != nil || !u.Active() {
		return ""
	}
	f, _ := h.File(t.Context(), render.DefaultKeepalivedConfig)
	for line := range strings.Lines(string(f.Data)) {
		if words := strings.Fields(line); len(words) == 2 && words[0] == "virtual_router_id" {
			id = words[1]
		}
	}
	return id
}

// TestRejoin: if no peer is left in the former virtual router, this host joins the new one at once.
func TestRejoin(t *testing.T) {
	h := installed(t, parse(t, spec))
	h.Adverts = routersOf(t, otherRouter) // the peer changed first
	wantLines(t, "steps", texts(must(t, h, parse(t, otherRouter)).Steps),
		"leave the virtual router (router 10, version 3, IPv4, multicast)",
		"write /etc/keepalived/keepalived.conf",
		"write /var/lib/rlb/handover.nft",
		"reload rlb-handover.service",
		"stop keepalived.service",
		"start keepalived.service when no peer uses the former virtual router any more")
	if id := active(t, h); id != "7" || len(h.Detached) > 0 {
		t.Errorf("keepalived runs as %q, left behind %q", id, h.Detached)
	}
	quiet(t, h, parse(t, otherRouter))
}

// TestRejoinWaits: a peer in the former virtual router keeps this host out of the new one until the peer leaves.
func TestRejoinWaits(t *testing.T) {
	h := installed(t, parse(t, spec))
	h.Adverts = routersOf(t, spec)
	doc := parse(t, otherRouter)
	must(t, h, doc)
	waits := func(what string) {
		t.Helper()
		if id := active(t, h); id != "" || len(h.Detached) != 1 || h.Detached[0] != "/usr/local/sbin/rlb-agent rejoin" {
			t.Errorf("%s: keepalived runs as %q, and there waits %q", what, id, h.Detached)
		}
		quiet(t, h, doc)
	}
	waits("changed")
	must(t, h, parse(t, strings.Replace(otherRouter, "9000", "9001", 1)))
	must(t, h, doc)
	waits("edited meanwhile")

	// the waiting process was killed: it waits again, or joins
	h.Crash("rlb-rejoin.service")
	h.Detached = nil
	must(t, h, doc)
	waits("killed")
	h.Crash("rlb-rejoin.service")
	h.Adverts = nil
	must(t, h, doc)
	if id := active(t, h); id != "7" {
		t.Errorf("the peer has left, and keepalived runs as %q", id)
	}
	quiet(t, h, doc)
}

// TestTeardownEndsTheWait: a process that waits to start keepalived does not outlive a teardown, even if its record is lost.
func TestTeardownEndsTheWait(t *testing.T) {
	h := installed(t, parse(t, spec))
	h.Adverts = routersOf(t, spec)
	must(t, h, parse(t, otherRouter))
	if err := h.RemoveFile(t.Context(), state.FormerFile); err != nil {
		t.Fatal(err)
	}
	if _, err := isolated(t, h, func(ctx context.Context, r *reconcile.Reconciler) error {
		_, err := r.Teardown(ctx, true)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if u, err := h.Unit(t.Context(), host.RejoinUnit); err != nil || u.Active() {
		t.Errorf("it will start keepalived: %v", err)
	}
}

// TestRejoinForged: advertisements from an address that no node has keep no host out; nor, without nodes, advertisements
// from outside the subnet.
func TestRejoinForged(t *testing.T) {
	h := installed(t, parse(t, spec))
	h.Adverts, h.Forged = routersOf(t, spec), true
	must(t, h, parse(t, otherRouter))
	if id := active(t, h); id != "7" || len(h.Detached) > 0 {
		t.Errorf("keepalived runs as %q, left behind %q", id, h.Detached)
	}
}

// TestRejoinTakenBack: a waiting host returns to the former virtual router if that router is wanted again.
func TestRejoinTakenBack(t *testing.T) {
	h := installed(t, parse(t, spec))
	h.Adverts = routersOf(t, spec)
	must(t, h, parse(t, otherRouter))
	wantLines(t, "steps", texts(must(t, h, parse(t, spec)).Steps),
		"forget the former virtual router",
		"write /etc/keepalived/keepalived.conf",
		"write /var/lib/rlb/handover.nft",
		"reload rlb-handover.service",
		"start keepalived.service")
	if id := active(t, h); id != "10" {
		t.Errorf("keepalived runs as %q", id)
	}
	if u, err := h.Unit(t.Context(), "rlb-rejoin.service"); err != nil || u.Active() {
		t.Errorf("somebody waits: %+v %v", u, err)
	}
	quiet(t, h, parse(t, spec))
}

// TestRejoinTakenBackFails: if any effect of that fails, the next run leaves the host waiting.
func TestRejoinTakenBackFails(t *testing.T) {
	for n := 1; ; n++ {
		h := installed(t, parse(t, spec))
		h.Adverts = routersOf(t, spec)
		must(t, h, parse(t, otherRouter))
		h.FailAt(n, errors.New("disk full"))
		if _, _, err := once(t, h, parse(t, spec)); err == nil {
			if n < 10 {
				t.Errorf("only %d effects", n)
			}
			return
		}
		must(t, h, parse(t, otherRouter))
		if id := active(t, h); id != "" {
			t.Errorf("effect %d fails: keepalived runs as %q while its peer is the former router", n, id)
		}
		quiet(t, h, parse(t, otherRouter))
	}
}

const thirdRouter = spec + "vrrp: {routerID: 8}\n"

// TestRejoinChangesAgain: if the virtual router of a waiting host changes once more, the host waits again, for its peers in
// both former routers.
func TestRejoinChangesAgain(t *testing.T) {
	h := installed(t, parse(t, spec))
	h.Adverts = routersOf(t, spec)
	must(t, h, parse(t, otherRouter))
	wantLines(t, "steps", texts(must(t, h, parse(t, thirdRouter)).Steps),
		"stop rlb-rejoin.service",
		"leave the virtual router (router 10, version 3, IPv4, multicast; router 7, version 3, IPv4, multicast)",
		"write /etc/keepalived/keepalived.conf",
		"write /var/lib/rlb/handover.nft",
		"reload rlb-handover.service",
		"start keepalived.service when no peer uses the former virtual router any more")
	if id := active(t, h); id != "" || len(h.Detached) != 2 {
		t.Errorf("keepalived runs as %q, and there waited %q", id, h.Detached)
	}
	quiet(t, h, parse(t, thirdRouter))

	h.Adverts = routersOf(t, otherRouter) // the peer changed once
	must(t, h, parse(t, spec+"vrrp: {routerID: 9}\n"))
	if id := active(t, h); id != "" {
		t.Errorf("keepalived runs as %q while its peer is what it was to become", id)
	}
}

// TestRejoinChangesAgainFails: if any effect of that fails, the host waits as before, or does so in the next run.
func TestRejoinChangesAgainFails(t *testing.T) {
	for n := 1; ; n++ {
		h := installed(t, parse(t, spec))
		h.Adverts = routersOf(t, spec)
		must(t, h, parse(t, otherRouter))
		h.FailAt(n, errors.New("disk full"))
		_, _, err := once(t, h, parse(t, thirdRouter))
		if err == nil {
			if n < 6 {
				t.Errorf("only %d effects", n)
			}
			return
		}
		if id := active(t, h); id != "" {
			t.Errorf("effect %d fails: keepalived runs as %q while its peer is the former router", n, id)
		}
		must(t, h, parse(t, otherRouter))
		if u, err := h.Unit(t.Context(), host.RejoinUnit); err != nil || !u.Active() || active(t, h) != "" {
			t.Errorf("effect %d fails: nobody waits: %+v %v", n, u, err)
		}
		quiet(t, h, parse(t, otherRouter))
	}
}

// TestRejoinsMeanwhile: the waiting process may start keepalived with its old file while another edit is applied.
func TestRejoinsMeanwhile(t *testing.T) {
	for _, text := range []string{spec, thirdRouter} {
		h := installed(t, parse(t, spec))
		h.Adverts = routersOf(t, spec)
		must(t, h, parse(t, otherRouter))
		h.Adverts = nil
		started := false
		r := reconcile.Reconciler{Host: h, Log: slog.New(slog.DiscardHandler), Rejoin: []string{"/usr/local/sbin/rlb-agent", "rejoin"}, Step: func(plan.Step) {
			if !started {
				h.Admin(func(ctx context.Context, h host.Host) error { return h.StartUnit(ctx, host.KeepalivedUnit) })
			}
			started = true
		}}
		synctest.Test(t, func(t *testing.T) {
			if _, err := r.Once(t.Context(), parse(t, text)); err != nil {
				t.Fatal(err)
			}
		})
		if active(t, h) == "" || h.Loaded(host.KeepalivedUnit) != h.Text(render.DefaultKeepalivedConfig) {
			t.Errorf("%s: keepalived has loaded\n%s", text, h.Loaded(host.KeepalivedUnit))
		}
		quiet(t, h, parse(t, text))
	}
}

// TestRejoinsInFault: a host that stands down for another one is in FAULT after it has joined. The edit did not cause this.
func TestRejoinsInFault(t *testing.T) {
	h := installed(t, parse(t, spec))
	h.Faulty = "virtual_router_id 7"
	guard := state.GuardRecord{Fault: true, Reason: "another host holds 198.51.100.10 too", Conflict: "another host holds 198.51.100.10 too"}
	if err := guard.Write(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	must(t, h, parse(t, otherRouter))
	if id := active(t, h); id != "7" {
		t.Errorf("keepalived runs as %q", id)
	}
}

// TestTeardownEndsWaiting: no process starts keepalived on a host that is no longer a load balancer.
func TestTeardownEndsWaiting(t *testing.T) {
	h := installed(t, parse(t, spec))
	h.Adverts = routersOf(t, spec)
	must(t, h, parse(t, otherRouter))
	mustTearDown(t, h, true)
	if u, err := h.Unit(t.Context(), "rlb-rejoin.service"); err != nil || u.Active() {
		t.Errorf("somebody waits: %+v %v", u, err)
	}
}

// TestRejoinUndone: a change that fails leaves this host in its previous virtual router.
func TestRejoinUndone(t *testing.T) {
	h := installed(t, parse(t, spec))
	h.Faulty = "virtual_router_id 7"
	if _, _, err := once(t, h, parse(t, otherRouter)); err == nil {
		t.Fatal("no error")
	}
	if id := active(t, h); id != "10" {
		t.Errorf("keepalived runs as %q", id)
	}
	if former, err := state.ReadFormer(t.Context(), h); former != nil || err != nil {
		t.Errorf("left: %v %v", former, err)
	}
	quiet(t, h, parse(t, spec))
}

// TestSameRouter: other edits reload keepalived, as usual.
func TestSameRouter(t *testing.T) {
	h := installed(t, parse(t, spec))
	wantLines(t, "steps", texts(must(t, h, parse(t, spec+"vrrp: {advertisementInterval: 1s, priority: 7}\n")).Steps),
		"write /etc/keepalived/keepalived.conf",
		"write /etc/systemd/system/keepalived.service.d/rlb.conf",
		"write /etc/systemd/system/haproxy.service.d/rlb.conf",
		"write /var/lib/rlb/handover.nft",
		"make systemd read its changed units",
		"reload rlb-handover.service",
		"reload keepalived.service")
}
