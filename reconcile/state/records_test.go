package state_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/state"
)

// TestRecords: the daemon's records are read back as they were written. Without a daemon they are empty, without an error.
func TestRecords(t *testing.T) {
	h, ctx, at := fake.New(), t.Context(), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	wantGuard := state.GuardRecord{Fault: true, Reason: "HAProxy hangs", Since: at, HAProxy: host.HAProxyHung}
	wantDrift := state.DriftRecord{Found: 2, Repaired: 1, Last: &state.DriftEvent{Time: at, Steps: []string{"start haproxy"}, By: "root", Error: "no"}}
	wantRole := state.RoleRecord{Role: host.RoleFault, Since: at, Reason: "HAProxy hangs", Transitions: 3}
	for _, written := range []bool{false, true} {
		var (
			guard state.GuardRecord
			drift state.DriftRecord
			role  state.RoleRecord
		)
		if written {
			guard, drift, role = wantGuard, wantDrift, wantRole
			for _, r := range []interface {
				Write(context.Context, host.Host) error
			}{guard, drift, role} {
				if err := r.Write(ctx, h); err != nil {
					t.Fatal(err)
				}
			}
		}
		gotGuard, err1 := state.ReadGuard(ctx, h)
		gotDrift, err2 := state.ReadDrift(ctx, h)
		gotRole, err3 := state.ReadRole(ctx, h)
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Errorf("written %t: %v", written, err)
		}
		if diff := cmp.Diff([]any{guard, drift, role}, []any{gotGuard, gotDrift, gotRole}); diff != "" {
			t.Errorf("written %t (-want +got):\n%s", written, diff)
		}
	}
}
