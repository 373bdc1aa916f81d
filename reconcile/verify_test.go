package reconcile_test

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/status"
)

// systemd calls a reload done though the new worker could not bind: the old file must come back, and be loaded.
func TestVerificationFailureGoesBack(t *testing.T) {
	for name, test := range map[string]struct {
		edit      *api.Document
		busy      uint16
		oldMaster bool
		want      string
	}{
		"port of a service": {edit: edited(t, "9000", "9001"), busy: 9001, want: "cannot reload haproxy: its new worker failed"},
		"port of the stats": {edit: parse(t, spec+"proxy: {stats: {address: '127.0.0.1:8404'}}\n"), busy: 8404,
			want: "cannot reload haproxy: its new worker failed"},
		"HAProxy does not tell": {edit: parse(t, spec+"proxy: {stats: {address: '127.0.0.1:8404'}}\n"), busy: 8404, oldMaster: true,
			want: "cannot see a new worker of haproxy"},
	} {
		t.Run(name, func(t *testing.T) {
			h := installed(t, parse(t, spec))
			before := h.Dump()
			h.Busy[test.busy], h.OldMaster = true, test.oldMaster
			_, _, err := once(t, h, test.edit)
			var failure *reconcile.Failure
			if !errors.As(err, &failure) || !failure.Undone || failure.Undo != nil {
				t.Fatalf("got %v, want a failure that was undone", err)
			}
			if text := err.Error(); !strings.HasPrefix(text, test.want) || !strings.HasSuffix(text, "\nwhat was there before is in force again") {
				t.Errorf("message:\n%s\nwant it to begin with %q", text, test.want)
			}
			same(t, "the undoing", h, before)
			quiet(t, h, parse(t, spec))
		})
	}
}

// On the way back HAProxy may be unable to serve as before, too: that must be said.
func TestWayBackIsVerified(t *testing.T) {
	h := installed(t, parse(t, spec))
	h.Busy[9001], h.Busy[9000] = true, true
	_, _, err := once(t, h, edited(t, "9000", "9001"))
	if err == nil || !strings.Contains(err.Error(), "and cannot bring back what was there before: cannot reload haproxy") {
		t.Errorf("got %v", err)
	}
	delete(h.Busy, 9000)
	must(t, h, parse(t, spec))
	quiet(t, h, parse(t, spec))
}

// A service that HAProxy does not listen for, though its worker is new and well.
func TestListenersAreVerified(t *testing.T) {
	h := installed(t, parse(t, spec))
	h.Deaf = true
	_, _, err := once(t, h, edited(t, "9000", "9001"))
	if err == nil || !strings.HasPrefix(err.Error(), "cannot see haproxy listening on 0.0.0.0:9001") {
		t.Errorf("got %v", err)
	}
}

// A keepalived whose role is not available is no reason to undo an edit: any user can be in the way of its dump in /tmp. It
// is logged, and stands in the status.
func TestRoleNotVerified(t *testing.T) {
	h := installed(t, parse(t, spec))
	h.FailMethod("VRRP", errors.New("cannot get keepalived's state: somebody is in the way"))
	edit := parse(t, spec+"vrrp: {priority: 77}\n")
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		r := reconcile.Reconciler{Host: h, Log: slog.New(slog.NewTextHandler(&log, nil))}
		result, err := r.Once(t.Context(), edit)
		if err != nil || len(result.Steps) == 0 {
			t.Fatalf("%v, %v", result.Steps, err)
		}
		if !strings.Contains(log.String(), "role not verified: cannot get keepalived's state: somebody is in the way") {
			t.Errorf("log: %s", log.String())
		}
		now, err := status.Write(t.Context(), h, status.Report{Doc: edit, Result: result})
		if err != nil || !slices.ContainsFunc(now.NotSeen, func(s string) bool { return strings.Contains(s, "somebody is in the way") }) {
			t.Errorf("not seen: %q, %v", now.NotSeen, err)
		}
	})
}

// A role that is not available does not hide what else is wrong.
func TestRoleNotVerifiedHidesNothing(t *testing.T) {
	h := installed(t, parse(t, spec))
	h.FailMethod("VRRP", errors.New("cannot get keepalived's state: somebody is in the way"))
	h.Deaf = true
	_, _, err := once(t, h, edited(t, "9000", "9001"))
	if err == nil || !strings.HasPrefix(err.Error(), "cannot see haproxy listening on 0.0.0.0:9001") {
		t.Errorf("got %v", err)
	}
}
