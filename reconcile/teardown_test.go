package reconcile_test

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
)

// tornDown tears a host down once. The teardown may be killed.
func tornDown(t *testing.T, h *fake.Host, keepPackages bool) (result reconcile.Result, killed bool, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := reconcile.Reconciler{Host: h, Log: slog.New(slog.DiscardHandler)}
		killed = fake.Killed(func() { result, err = r.Teardown(t.Context(), keepPackages) })
	})
	return result, killed, err
}

func mustTearDown(t *testing.T, h *fake.Host, keepPackages bool) reconcile.Result {
	t.Helper()
	result, _, err := tornDown(t, h, keepPackages)
	if err != nil {
		t.Fatalf("the teardown failed: %v\neffects: %q", err, h.Log)
	}
	return result
}

func removes(paths ...string) func(context.Context, host.Host) error {
	return func(ctx context.Context, h host.Host) error {
		for _, path := range paths {
			if err := h.RemoveTree(ctx, path); err != nil {
				return err
			}
		}
		return nil
	}
}

// memoryFiles are the memory and its copy.
var memoryFiles = []string{"/var/lib/rlb/memory.json", "/var/lib/rlb/memory.json.copy"}

var runs = regexp.MustCompile(`active run \d+`)

// timeless is the state of a host without the numbers of starts of its units.
func timeless(h *fake.Host, without ...string) string {
	return runs.ReplaceAllString(h.Dump(without...), "active")
}

func TestTeardown(t *testing.T) {
	for name, host := range hosts {
		for _, keep := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, keep packages %t", name, keep), func(t *testing.T) {
				t.Parallel()
				h, doc := host(), parse(t, spec)
				before := timeless(h)
				if keep {
					before = withPackages(host)(t)
				}
				must(t, h, doc)
				first := timeless(h, memory...)
				must(t, h, port(t, 9001))
				must(t, h, doc)
				h.Reboot() // so that rlb-firewall.service ran
				h.Iptables(api.IPv4, "-F INPUT", "-A INPUT -j RLB-INPUT")
				if strings.Contains(name, "original") {
					h.Iptables(api.IPv4, "-A INPUT -i lo -j ACCEPT", "-A INPUT -j DROP")
				} else if strings.Contains(name, "administrator") {
					h.Iptables(api.IPv4, "-A INPUT -j DROP")
				}
				must(t, h, doc)
				mustTearDown(t, h, keep)
				sameText(t, "after the teardown", before, timeless(h))
				for _, trace := range []string{"rlb", "RLB"} {
					if strings.Contains(h.Dump(), trace) {
						t.Errorf("%s is still there:\n%s", trace, h.Dump())
					}
				}
				h.Log = nil
				if again := mustTearDown(t, h, keep); len(again.Steps)+len(h.Log) > 0 {
					t.Errorf("a second teardown is not empty: %q, %q", texts(again.Steps), h.Log)
				}
				must(t, h, doc)
				sameText(t, "a run after the teardown", first, timeless(h, memory...))
				quiet(t, h, doc)
			})
		}
	}
}

// TestTeardownOrder: keepalived says goodbye while HAProxy still serves, and the daemon is stopped before everything else.
func TestTeardownOrder(t *testing.T) {
	h := fake.New()
	daemon(h)
	must(t, h, parse(t, spec))
	wantLines(t, "steps", texts(mustTearDown(t, h, false).Steps),
		"stop rlb-agent.service",
		"disable rlb-agent.service",
		"stop keepalived.service",
		"disable keepalived.service",
		"stop haproxy.service",
		"disable haproxy.service",
		"stop rlb-handover.service",
		"disable rlb-handover.service",
		"disable rlb-firewall.service",
		"remove /etc/haproxy/haproxy.cfg",
		"remove /etc/keepalived/keepalived.conf",
		"remove /etc/systemd/system/haproxy.service.d/rlb.conf",
		"remove /etc/systemd/system/keepalived.service.d/rlb.conf",
		"remove /etc/systemd/system/rlb-firewall.service",
		"remove /etc/systemd/system/rlb-handover.service",
		"remove /var/lib/rlb/handover.nft",
		"remove /var/lib/rlb/handover.routes",
		"remove /var/lib/rlb/rules.v4",
		"remove /var/lib/rlb/rules.v6",
		"remove the IPv4 firewall rules",
		"remove the IPv6 firewall rules",
		"make systemd read its changed units",
		"release the hold of package haproxy",
		"release the hold of package keepalived",
		"purge haproxy, iptables, keepalived, liblua5.3-0, nftables",
		"forget what the agent kept in /var/lib/rlb",
	)
}

// TestTeardownAfterDetours: a teardown of hosts that reached their state in indirect ways.
func TestTeardownAfterDetours(t *testing.T) {
	none := func(t *testing.T) *api.Document { return parse(t, spec+"firewall: {manage: false}\n") }
	for name, test := range map[string]struct {
		host func() *fake.Host
		do   func(t *testing.T, h *fake.Host)
	}{
		"firewall no longer managed": {original, func(t *testing.T, h *fake.Host) { must(t, h, none(t)) }},
		"firewall managed again": {original, func(t *testing.T, h *fake.Host) {
			must(t, h, none(t))
			must(t, h, parse(t, spec))
		}},
		"the original's rule twice": {func() *fake.Host {
			h := original()
			h.Iptables(api.IPv4, "-I INPUT 1 -p tcp -m tcp --dport 9000 -j ACCEPT")
			return h
		}, func(*testing.T, *fake.Host) {}},
		"one more of the original's ports": {func() *fake.Host {
			h := original()
			h.Iptables(api.IPv4, "-I INPUT 1 -p tcp -m tcp --dport 9001 -j ACCEPT")
			return h
		}, func(t *testing.T, h *fake.Host) { must(t, h, port(t, 9001)) }},
		"files that were edited": {hosts["packages of the administrator"], func(_ *testing.T, h *fake.Host) {
			h.Put("/etc/haproxy/haproxy.cfg", "# scribbled\n", 0o666)
			h.Put("/etc/keepalived/keepalived.conf", "# the administrator's own\n", 0o666)
		}},
		"holds given up": {fake.New, func(t *testing.T, h *fake.Host) {
			must(t, h, parse(t, spec+"packages: {hold: false}\n"))
		}},
		"crashed and masked since": {hosts["packages of the administrator"], func(_ *testing.T, h *fake.Host) {
			h.Crash("haproxy.service")
			h.Admin(func(ctx context.Context, h host.Host) error { return h.DisableUnit(ctx, "haproxy.service") })
			h.MaskForGood("haproxy.service")
		}},
		"rules flushed by hand": {hosts["packages of the administrator"], func(_ *testing.T, h *fake.Host) {
			h.Iptables(api.IPv4, "-F INPUT", "-F RLB-INPUT", "-X RLB-INPUT", "-A INPUT -j DROP")
		}},
		"configuration elsewhere, and back": {func() *fake.Host {
			h := hosts["packages of the administrator"]()
			h.Put("/etc/default/haproxy", "", 0o644)
			return h
		}, func(t *testing.T, h *fake.Host) {
			h.Put("/etc/default/haproxy", "CONFIG=/srv/haproxy.cfg\n", 0o644)
			must(t, h, parse(t, spec))
			h.Put("/etc/default/haproxy", "", 0o644)
		}},
		"a refused edit": {fake.New, func(t *testing.T, h *fake.Host) {
			h.Busy[9001] = true
			if _, _, err := once(t, h, port(t, 9001)); err == nil {
				t.Fatal("haproxy cannot have taken port 9001")
			}
		}},
		"a trial": {fake.New, func(t *testing.T, h *fake.Host) { begin(t, h, port(t, 9001)) }},
	} {
		t.Run(name, func(t *testing.T) {
			h := test.host()
			before := timeless(h)
			must(t, h, parse(t, spec))
			test.do(t, h)
			mustTearDown(t, h, false)
			sameText(t, "after the teardown", before, timeless(h))
		})
	}
}
