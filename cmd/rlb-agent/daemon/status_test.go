package daemon

import (
	"testing"
	"testing/synctest"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/status"
)

// The status has failover's verdict from failover itself: its file is for other programs, and may be gone or garbled.
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
