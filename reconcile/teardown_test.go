package reconcile_test

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/hosttest"
	"rlb.dev/rlb-agent/render"
)

// tornDown tears a host down once. It may be killed on the way.
func tornDown(t *testing.T, h *hosttest.Host, keepPackages bool) (result reconcile.Result, killed bool, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := reconcile.Reconciler{Host: h, Log: slog.New(slog.DiscardHandler)}
		killed = hosttest.Killed(func() { result, err = r.Teardown(t.Context(), keepPackages) })
	})
	return result, killed, err
}

func mustTearDown(t *testing.T, h *hosttest.Host, keepPackages bool) reconcile.Result {
	t.Helper()
	result, _, err := tornDown(t, h, keepPackages)
	if err != nil {
		t.Fatalf("the teardown failed: %v\neffects: %q", err, h.Log)
	}
	return result
}

func removes(path string) func(context.Context, reconcile.Host) error {
	return func(ctx context.Context, h reconcile.Host) error { return h.RemoveTree(ctx, path) }
}

var runs = regexp.MustCompile(`active run \d+`)

// timeless is the state of a host without how often its units were started.
func timeless(h *hosttest.Host, without ...string) string {
	return runs.ReplaceAllString(h.Dump(without...), "active")
}

func sameText(t *testing.T, when, want, got string) {
	t.Helper()
	if diff := cmp.Diff(lines(want), lines(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

const own = "# the administrator's own\nfrontend mine\n    bind *:81\n"

// daemon is the agent's own unit, as its package brings it.
func daemon(h *hosttest.Host) {
	h.Put("/etc/systemd/system/rlb-agent.service", "[Service]\n", 0o644)
	h.Admin(func(ctx context.Context, h reconcile.Host) error {
		if err := h.EnableUnit(ctx, "rlb-agent.service"); err != nil {
			return err
		}
		return h.StartUnit(ctx, "rlb-agent.service")
	})
}

// hosts are hosts before the first run.
var hosts = map[string]func() *hosttest.Host{
	"bare":            hosttest.New,
	"of the original": original,
	"packages of the administrator": func() *hosttest.Host {
		h := hosttest.New()
		h.Put("/etc/haproxy/haproxy.cfg", own, 0o600)
		h.Put("/etc/keepalived/keepalived.conf", "# the administrator's own\n", 0o640)
		adminInstalls(h, "haproxy", "keepalived", "iptables")
		h.Admin(func(ctx context.Context, h reconcile.Host) error { return h.HoldPackage(ctx, "haproxy", true) })
		h.Iptables(render.IPv4, "-A INPUT -j DROP")
		return h
	},
	"a configuration without its package": func() *hosttest.Host {
		h := hosttest.New()
		h.Put("/etc/haproxy/haproxy.cfg", own, 0o600)
		return h
	},
	"stopped and disabled": func() *hosttest.Host {
		h := hosttest.New()
		adminInstalls(h, "haproxy", "keepalived")
		h.Admin(func(ctx context.Context, h reconcile.Host) error {
			if err := h.StopUnit(ctx, "haproxy.service"); err != nil {
				return err
			}
			return h.DisableUnit(ctx, "haproxy.service")
		})
		return h
	},
}

// left is what is different after a teardown that kept the packages: a new list of packages, and what they bring.
func withPackages(host func() *hosttest.Host) func(t *testing.T) string {
	return func(t *testing.T) string {
		h, fresh := host(), host()
		must(t, h, parse(t, spec))
		var missing []string
		for _, name := range []string{"liblua5.3-0", "haproxy", "keepalived", "iptables"} {
			if fresh.Installed(name) == "" {
				missing = append(missing, name)
			}
		}
		adminInstalls(fresh, missing...)
		fresh.Admin(func(ctx context.Context, h reconcile.Host) error { // exception: they do not run, nor start at boot
			for _, name := range missing {
				if err := h.StopUnit(ctx, name+".service"); err != nil {
					return err
				}
				if err := h.DisableUnit(ctx, name+".service"); err != nil {
					return err
				}
			}
			return nil
		})
		return timeless(fresh)
	}
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
				h.Iptables(render.IPv4, "-F INPUT", "-A INPUT -j RLB-INPUT")
				if strings.Contains(name, "original") {
					h.Iptables(render.IPv4, "-A INPUT -i lo -j ACCEPT", "-A INPUT -j DROP")
				} else if strings.Contains(name, "administrator") {
					h.Iptables(render.IPv4, "-A INPUT -j DROP")
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

// A teardown that is killed anywhere, or fails anywhere, is finished by the next.
func TestTeardownInterrupted(t *testing.T) {
	broken := fmt.Errorf("cannot do it: disk full")
	for name, host := range hosts {
		for when, stop := range map[string]func(*hosttest.Host, int){
			"before": (*hosttest.Host).StopBefore,
			"after":  (*hosttest.Host).StopAfter,
			"within": (*hosttest.Host).StopWithin,
			"error":  func(h *hosttest.Host, n int) { h.FailAt(n, broken) },
		} {
			for _, keep := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %s, keep packages %t", name, when, keep), func(t *testing.T) {
					t.Parallel()
					doc := parse(t, spec)
					want := timeless(host())
					if keep {
						want = withPackages(host)(t)
					}
					for n := 1; ; n++ {
						h := host()
						daemon(h)
						must(t, h, doc)
						h.Log = nil
						stop(h, n)
						_, killed, err := tornDown(t, h, keep)
						if !killed && err == nil && len(h.Log) < n {
							if n < 5 {
								t.Fatalf("only %d effects", n)
							}
							return
						}
						at := h.Log[len(h.Log)-1]
						h.Heal()
						mustTearDown(t, h, keep)
						h.Admin(func(ctx context.Context, h reconcile.Host) error { // the agent's package goes
							if u, err := h.Unit(ctx, "rlb-agent.service"); err != nil || u.Active() || u.Enabled() {
								return fmt.Errorf("the daemon is active %t, enabled %t: %w", u.Active(), u.Enabled(), err)
							}
							return h.RemoveFile(ctx, "/etc/systemd/system/rlb-agent.service")
						})
						sameText(t, fmt.Sprintf("%s effect %d (%s), and a second teardown", when, n, at), want, timeless(h))
						if t.Failed() {
							t.FailNow()
						}
					}
				})
			}
		}
	}
}

// A run that is killed anywhere can be torn down as well as one that ended.
func TestTeardownOfAnInterruptedRun(t *testing.T) {
	for name, host := range hosts {
		for when, stop := range map[string]func(*hosttest.Host, int){
			"after": (*hosttest.Host).StopAfter, "within": (*hosttest.Host).StopWithin,
		} {
			t.Run(name+", "+when, func(t *testing.T) {
				t.Parallel()
				want := timeless(host())
				for n := 1; ; n++ {
					h := host()
					stop(h, n)
					if _, killed, _ := once(t, h, parse(t, spec)); !killed {
						return
					}
					at := h.Log[len(h.Log)-1]
					h.Heal()
					mustTearDown(t, h, false)
					sameText(t, fmt.Sprintf("a first run that was killed %s effect %d (%s), and a teardown", when, n, at), want, timeless(h))
					if t.Failed() {
						t.FailNow()
					}
				}
			})
		}
	}
}

// keepalived says farewell while HAProxy still serves, and the daemon is gone before all.
func TestTeardownOrder(t *testing.T) {
	h := hosttest.New()
	daemon(h)
	must(t, h, parse(t, spec))
	wantLines(t, "steps", texts(mustTearDown(t, h, false).Steps),
		"stop rlb-agent.service",
		"disable rlb-agent.service",
		"stop keepalived.service",
		"disable keepalived.service",
		"stop haproxy.service",
		"disable haproxy.service",
		"disable rlb-firewall.service",
		"remove /etc/haproxy/haproxy.cfg",
		"remove /etc/keepalived/keepalived.conf",
		"remove /etc/systemd/system/rlb-firewall.service",
		"remove /var/lib/rlb/rules.v4",
		"remove /var/lib/rlb/rules.v6",
		"remove the IPv4 firewall rules",
		"remove the IPv6 firewall rules",
		"make systemd read its changed units",
		"release the hold of package haproxy",
		"release the hold of package keepalived",
		"purge haproxy, iptables, keepalived, liblua5.3-0",
		"forget what the agent kept in /var/lib/rlb",
	)
}

// Ways to a host that are not the straight one.
func TestTeardownAfterDetours(t *testing.T) {
	none := func(t *testing.T) *api.Document { return parse(t, spec+"firewall: {manage: false}\n") }
	for name, test := range map[string]struct {
		host func() *hosttest.Host
		do   func(t *testing.T, h *hosttest.Host)
	}{
		"firewall no longer managed": {original, func(t *testing.T, h *hosttest.Host) { must(t, h, none(t)) }},
		"firewall managed again": {original, func(t *testing.T, h *hosttest.Host) {
			must(t, h, none(t))
			must(t, h, parse(t, spec))
		}},
		"the original's rule twice": {func() *hosttest.Host {
			h := original()
			h.Iptables(render.IPv4, "-I INPUT 1 -p tcp -m tcp --dport 9000 -j ACCEPT")
			return h
		}, func(*testing.T, *hosttest.Host) {}},
		"one more of the original's ports": {func() *hosttest.Host {
			h := original()
			h.Iptables(render.IPv4, "-I INPUT 1 -p tcp -m tcp --dport 9001 -j ACCEPT")
			return h
		}, func(t *testing.T, h *hosttest.Host) { must(t, h, port(t, 9001)) }},
		"files that were edited": {hosts["packages of the administrator"], func(_ *testing.T, h *hosttest.Host) {
			h.Put("/etc/haproxy/haproxy.cfg", "# scribbled\n", 0o666)
			h.Put("/etc/keepalived/keepalived.conf", "", 0o666)
		}},
		"holds given up": {hosttest.New, func(t *testing.T, h *hosttest.Host) {
			must(t, h, parse(t, spec+"packages: {hold: false}\n"))
		}},
		"crashed and masked since": {hosts["packages of the administrator"], func(_ *testing.T, h *hosttest.Host) {
			h.Crash("haproxy.service")
			h.MaskForGood("haproxy.service")
		}},
		"rules flushed by hand": {hosts["packages of the administrator"], func(_ *testing.T, h *hosttest.Host) {
			h.Iptables(render.IPv4, "-F INPUT", "-F RLB-INPUT", "-X RLB-INPUT", "-A INPUT -j DROP")
		}},
		"a refused edit": {hosttest.New, func(t *testing.T, h *hosttest.Host) {
			h.Busy[9001] = true
			if _, _, err := once(t, h, port(t, 9001)); err == nil {
				t.Fatal("haproxy cannot have taken port 9001")
			}
		}},
		"a trial": {hosttest.New, func(t *testing.T, h *hosttest.Host) { begin(t, h, port(t, 9001)) }},
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
