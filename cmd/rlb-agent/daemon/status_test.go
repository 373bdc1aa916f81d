package daemon

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/status"
)

// TestVerdictReachesTheStatus: the status gets failover's verdict directly: its file is for other programs, and may be
// missing or corrupt.
func TestVerdictReachesTheStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKept(t, fake.New(), smallSpec)
		doc, err := api.Parse(specPath, []byte(smallSpec))
		if err != nil {
			t.Fatal(err)
		}
		k.h.Role = host.RoleFault
		verdict := state.GuardRecord{Fault: true, Reason: "haproxy hangs", HAProxy: host.HAProxyHung, Since: time.Now()}
		if err := k.report.publish(t.Context(), verdict); err != nil {
			t.Fatal(err)
		}
		if left, err := state.ReadGuard(t.Context(), k.h); err != nil || left.Reason != verdict.Reason {
			t.Errorf("other programs read %+v, %v", left, err)
		}
		k.h.Put(state.GuardFile, "{", 0o644)
		for _, way := range []struct { // in this order: a refresh repeats the role that an event saw
			name string
			read func() (status.Status, error)
		}{
			{"an event", func() (status.Status, error) { return k.report.Follow(t.Context(), doc) }},
			{"a refresh", func() (status.Status, error) { return k.report.Refresh(t.Context(), doc, k.status()) }},
			{"a run", func() (status.Status, error) { k.next(cause{}); return k.status(), nil }},
		} {
			if s, err := way.read(); err != nil || s.RoleReason != verdict.Reason || s.HAProxy.State != host.HAProxyHung {
				t.Errorf("%s: %v, %s %q, %+v", way.name, err, s.Role, s.RoleReason, s.HAProxy)
			}
		}
	})
}

// TestUnreadableStatus: while the host's state cannot be read, the peers keep what the agent saw last, and so does the status.
func TestUnreadableStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKept(t, fake.New(), smallSpec)
		k.h.Role = host.RoleMaster
		time.Sleep(time.Minute)
		peering := &peering{bell: make(chan struct{}, 1)}
		k.report.peering = peering
		k.report.ran(t.Context(), status.Report{})
		before := peering.self.Report
		if before.Role != host.RoleMaster || !before.Serving {
			t.Fatalf("reported %+v", before)
		}
		k.h.FailMethod("File", errors.New("input/output error"))
		k.report.ran(t.Context(), status.Report{})
		if now := peering.self.Report; now.Role != before.Role || !now.Serving {
			t.Errorf("an unreadable disk makes the report %+v", now)
		}
		k.h.Heal()
		k.h.Put(state.StatusFile, "{", 0o600)
		if err := k.report.restore(t.Context()); err != nil || k.status().Role != host.RoleMaster {
			t.Errorf("the status is not restored: %v", err)
		}
	})
}

// TestFaultOfKeepalivedItself: when keepalived's own check of HAProxy succeeds again, the status shows it within about
// a second. A fault that lasts is checked more and more rarely. A fault of the agent is not checked at all, because the
// agent reports its end.
func TestFaultOfKeepalivedItself(t *testing.T) {
	for name, test := range map[string]struct {
		verdict state.GuardRecord
		lasts   time.Duration
		looks   int // in five minutes
	}{
		"it is over soon":   {state.GuardRecord{HAProxy: host.HAProxyAnswers}, 1500 * time.Millisecond, 2},
		"it stays":          {state.GuardRecord{HAProxy: host.HAProxyAnswers}, time.Hour, 13},
		"it is the agent's": {state.GuardRecord{Fault: true, Reason: "haproxy hangs", HAProxy: host.HAProxyHung}, time.Hour, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newKept(t, fake.New(), smallSpec)
				doc, err := api.Parse(specPath, []byte(smallSpec))
				if err != nil {
					t.Fatal(err)
				}
				looks := 0
				follow := func() {
					if _, err := k.report.Follow(t.Context(), doc); err != nil {
						t.Error(err)
					}
				}
				began := time.Now()
				k.report.recheck = func() {
					looks++
					if k.h.Role = host.RoleFault; time.Since(began) >= test.lasts {
						k.h.Role = host.RoleBackup
					}
					follow()
				}
				if err := k.report.publish(t.Context(), test.verdict); err != nil {
					t.Fatal(err)
				}
				k.h.Role = host.RoleFault
				follow()
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				if s := k.status(); looks != test.looks || (s.Role == host.RoleBackup) != (test.lasts < time.Minute) {
					t.Errorf("%d looks, then %s", looks, s.Role)
				}
			})
		})
	}
}
