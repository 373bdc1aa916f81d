package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
)

// TestTeardownInterrupted: a teardown that is killed or fails at any effect is completed by the next one.
func TestTeardownInterrupted(t *testing.T) {
	broken := errors.New("cannot do it: disk full")
	for name, build := range hosts {
		for when, stop := range map[string]func(*fake.Host, int){
			"before": (*fake.Host).StopBefore,
			"after":  (*fake.Host).StopAfter,
			"within": (*fake.Host).StopWithin,
			"error":  func(h *fake.Host, n int) { h.FailAt(n, broken) },
		} {
			for _, keep := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %s, keep packages %t", name, when, keep), func(t *testing.T) {
					t.Parallel()
					doc := parse(t, spec)
					want := timeless(build())
					if keep {
						want = withPackages(build)(t)
					}
					whole := build()
					daemon(whole)
					must(t, whole, doc)
					for n := 1; ; n++ {
						h := whole.Clone()
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
						h.Admin(func(ctx context.Context, h host.Host) error { // the agent's package is removed
							if u, err := h.Unit(ctx, "rlb-agent.service"); err != nil || u.Active() || u.Enabled() {
								return fmt.Errorf("the daemon is active %t, enabled %t: %w", u.Active(), u.Enabled(), err)
							}
							if u, err := h.Unit(ctx, "rlb-firewall.service"); err != nil || u.NeedDaemonReload {
								return fmt.Errorf("systemd still knows rlb-firewall.service: %w", err)
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

// TestTeardownOfAnInterruptedRun: a run that was killed at any effect can be torn down like a completed one.
func TestTeardownOfAnInterruptedRun(t *testing.T) {
	for name, build := range hosts {
		for when, stop := range map[string]func(*fake.Host, int){
			"after": (*fake.Host).StopAfter, "within": (*fake.Host).StopWithin,
		} {
			t.Run(name+", "+when, func(t *testing.T) {
				t.Parallel()
				want := timeless(build())
				for n := 1; ; n++ {
					h := build()
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

// TestTeardownKeepsKilledPackages: packages that a killed run installed, and that stay, do not start at boot.
func TestTeardownKeepsKilledPackages(t *testing.T) {
	h, whole, doc := fake.New(), fake.New(), parse(t, spec)
	must(t, whole, doc)
	h.StopAfter(effect(t, whole, "InstallPackages haproxy keepalived iptables nftables"))
	if _, killed, _ := once(t, h, doc); !killed {
		t.Fatal("not killed")
	}
	h.Heal()
	mustTearDown(t, h, true)
	if u, err := h.Unit(t.Context(), "haproxy.service"); err != nil || u.Enabled() || u.Masked() || h.Installed("haproxy") == "" {
		t.Errorf("haproxy: %+v, %v", u, err)
	}
}

// TestTeardownReloadsNothingOfOthers: a teardown does not bring an administrator's edit into force that was not reloaded
// yet.
func TestTeardownReloadsNothingOfOthers(t *testing.T) {
	h := hosts["packages of the administrator"]()
	h.Put("/etc/haproxy/haproxy.cfg", own+"# not yet\n", 0o600)
	before, whole := timeless(h), h.Clone()
	must(t, whole, parse(t, spec))
	h.Log = nil
	h.StopBefore(effect(t, whole, "LoadFirewall IPv4")) // by then the originals are kept, and nothing is written
	if _, killed, _ := once(t, h, parse(t, spec)); !killed {
		t.Fatal("not killed")
	}
	h.Heal()
	mustTearDown(t, h, false)
	sameText(t, "the teardown", before, timeless(h))
}
