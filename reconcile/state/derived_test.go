package state_test

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render/vrrp"
)

var aTime = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// writeDerived writes each derived file except the status.
func writeDerived(t *testing.T, h host.Host) {
	t.Helper()
	ctx := t.Context()
	err := errors.Join(
		state.WriteDerived(ctx, h, state.StatusFile, map[string]string{"kind": "LoadBalancerStatus"}),
		state.WriteLoaded(ctx, h, map[string]state.Loaded{"haproxy.service": {Invocation: "run 1", Digest: "d"}}),
		state.GuardRecord{Fault: true, Reason: "HAProxy hangs"}.Write(ctx, h),
		state.DriftRecord{Found: 2}.Write(ctx, h),
		state.RoleRecord{Role: host.RoleBackup, Transitions: 3}.Write(ctx, h),
		(&state.FormerRouter{Interface: "eth0", Identities: []vrrp.Identity{{Period: time.Second}}}).Write(ctx, h),
		(&state.Refusal{Digest: "d", Why: "no"}).Write(ctx, h),
		(&state.Wait{Began: aTime, Until: aTime.Add(time.Minute)}).Write(ctx, h),
	)
	if err != nil {
		t.Fatal(err)
	}
}

// readDerived returns what the readers return, and whether all of it is empty.
func readDerived(t *testing.T, o host.Observer) (all []any, nothing bool) {
	t.Helper()
	ctx := t.Context()
	loaded, e1 := state.ReadLoaded(ctx, o)
	guard, e2 := state.ReadGuard(ctx, o)
	drift, e3 := state.ReadDrift(ctx, o)
	role, e4 := state.ReadRole(ctx, o)
	former, e5 := state.ReadFormer(ctx, o)
	refusal, e6 := state.ReadRefusal(ctx, o)
	status, e7 := state.ReadDerived[map[string]string](ctx, o, state.StatusFile)
	wait, e8 := state.ReadWait(ctx, o)
	if err := errors.Join(e1, e2, e3, e4, e5, e6, e7, e8); err != nil {
		t.Errorf("a derived file is a reason to stop: %v", err)
	}
	if loaded == nil {
		t.Error("loaded is nil")
	}
	nothing = len(loaded)+len(status) == 0 && former == nil && refusal == nil && wait == nil &&
		reflect.ValueOf(guard).IsZero() && reflect.ValueOf(drift).IsZero() && reflect.ValueOf(role).IsZero()
	return []any{loaded, guard, drift, role, former, refusal, wait, status}, nothing
}

// TestDerivedFilesAreMadeAnew: a spoiled derived file is treated as missing, can be written again, and is cleared once.
func TestDerivedFilesAreMadeAnew(t *testing.T) {
	for name, spoil := range spoils {
		d, log := newDisk(), new(bytes.Buffer)
		writeDerived(t, d)
		want, _ := readDerived(t, d)
		for _, path := range state.DerivedFiles() {
			spoil(d, path)
		}
		if got, nothing := readDerived(t, d); !nothing {
			t.Errorf("%s: found %+v", name, got)
		}
		state.ClearDamaged(t.Context(), d, logTo(log))
		for _, path := range state.DerivedFiles() {
			if n := strings.Count(log.String(), "removing "+path+","); n != 1 {
				t.Errorf("%s: %s is logged %d times", name, path, n)
			}
		}
		log.Reset()
		if state.ClearDamaged(t.Context(), d, logTo(log)); log.Len() > 0 {
			t.Errorf("%s: logged again: %s", name, log)
		}
		for _, path := range state.DerivedFiles() {
			spoil(d, path)
		}
		writeDerived(t, d)
		if got, _ := readDerived(t, d); !reflect.DeepEqual(want, got) {
			t.Errorf("%s: written anew: %+v, want %+v", name, got, want)
		}
	}
}

// TestMirror: a file that is removed or spoiled while the daemon runs is restored; a file that its writer removed is not.
func TestMirror(t *testing.T) {
	gone := map[string]func(*disk, string){"gone": func(d *disk, path string) {
		d.Admin(func(ctx context.Context, h host.Host) error { return h.RemoveFile(ctx, path) })
	}}
	for name, spoil := range allSpoils(gone) {
		d, log := newDisk(), new(bytes.Buffer)
		writeDerived(t, d)
		m := state.Mirror{Host: d, Log: logTo(log)}
		if m.Look(t.Context()) || log.Len() > 0 {
			t.Errorf("%s: whole files are restored: %s", name, log)
		}
		want := map[string]string{}
		for _, path := range state.DerivedFiles() {
			want[path] = d.Text(path)
			spoil(d, path)
		}
		want[state.StatusFile] = "" // its owner makes it again
		if name == "gone" {
			want[state.FormerFile], want[state.RefusedFile], want[state.WaitFile] = "", "", ""
		}
		if !m.Look(t.Context()) {
			t.Errorf("%s: the status is not missed", name)
		}
		for path, text := range want {
			if d.dirs[path] && path != state.StatusFile || path != state.StatusFile && d.Text(path) != text {
				t.Errorf("%s: %s is %q, want %q", name, path, d.Text(path), text)
			}
			logged := strings.Count(log.String(), "restored "+path)
			if (logged == 1) != (text != "") {
				t.Errorf("%s: %s is logged %d times", name, path, logged)
			}
		}
		log.Reset()
		spoil(d, state.RoleFile)
		if m.Look(t.Context()); d.Text(state.RoleFile) != want[state.RoleFile] || log.Len() > 0 {
			t.Errorf("%s again: %q, log %q", name, d.Text(state.RoleFile), log)
		}
	}
}
