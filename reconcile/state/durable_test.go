package state_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
)

// TestMemoryIsReadFromItsCopy: if the memory is spoiled, its copy is read and Damage says so. A spoiled copy alone is not
// reported.
func TestMemoryIsReadFromItsCopy(t *testing.T) {
	spoils := map[string]func(*disk, string){"gone": func(d *disk, path string) { _ = d.RemoveFile(t.Context(), path) }}
	for name, spoil := range allSpoils(spoils) {
		for _, copied := range []bool{false, true} {
			d := newDisk()
			want := aMemory(t, d)
			path := state.MemoryFile
			if copied {
				path += ".copy"
			}
			spoil(d, path)
			got, err := state.ReadMemory(t.Context(), d)
			if err != nil || !got.Known || got.Copied || (got.Damage != nil) == copied {
				t.Errorf("%s, the copy %t: known %t, copied %t, damage %v, %v", name, copied, got.Known, got.Copied, got.Damage, err)
			}
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(got, "Known", "Copied", "Damage")); diff != "" {
				t.Errorf("%s, the copy %t (-want +got):\n%s", name, copied, diff)
			}
		}
	}
}

// TestMemoryTornAnywhere: a memory torn at any byte is refused as a whole.
func TestMemoryTornAnywhere(t *testing.T) {
	d := newDisk()
	want := aMemory(t, d)
	whole := d.Text(state.MemoryFile)
	for n := range len(whole) - 1 {
		d.Put(state.MemoryFile, whole[:n], 0o600)
		got, err := state.ReadMemory(t.Context(), d)
		if err != nil || got.Damage == nil || !cmp.Equal(want, got, cmpopts.IgnoreFields(got, "Known", "Copied", "Damage")) {
			t.Fatalf("torn after %d bytes: %+v, %v", n, got, err)
		}
	}
}

// TestMemoryWithoutACopy: if both files are spoiled, the error is the error of the file itself. If neither ever existed,
// the memory is empty.
func TestMemoryWithoutACopy(t *testing.T) {
	for name, spoil := range spoils {
		d := newDisk()
		spoil(d, state.MemoryFile)
		if _, err := state.ReadMemory(t.Context(), d); err == nil || !strings.HasPrefix(err.Error(), "cannot read /var/lib/rlb/memory.json: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	m, err := state.ReadMemory(t.Context(), newDisk())
	if err != nil || m.Known || m.Files == nil || m.Units == nil || m.Held == nil {
		t.Errorf("none: %+v, %v", m, err)
	}
}

// TestNewerFormIsRefused: a format of a newer agent is refused, even if a copy in a known format exists.
func TestNewerFormIsRefused(t *testing.T) {
	d := newDisk()
	aMemory(t, d)
	if err := (state.Trial{Deadline: time.Now()}).Write(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{state.MemoryFile, state.TrialFile} {
		text := d.Text(path)
		for _, newer := range []string{`{"version": 2, "files": "elsewhere", "deadline": []}`, strings.Replace(text, `"version": 1`, `"version": 7`, 1)} {
			d.Put(path, newer, 0o600)
			_, err := state.ReadMemory(t.Context(), d)
			if path == state.TrialFile {
				_, err = state.RunningTrial(t.Context(), d)
			}
			if !errors.As(err, new(*state.NewerError)) || !strings.HasPrefix(err.Error(), "cannot read "+path+": version ") || !strings.Contains(err.Error(), "is newer than this agent knows (1)") {
				t.Errorf("%s: %v", newer, err)
			}
		}
		d.Put(path, text, 0o600)
	}
}

// TestMemoryOfNonsense: content that no agent wrote is refused, because a teardown would act on it as root.
func TestMemoryOfNonsense(t *testing.T) {
	d := newDisk()
	aMemory(t, d)
	whole := d.Text(state.MemoryFile)
	for _, edit := range [][2]string{
		{`"files": {`, `"files": null, "other": {`},
		{`"units": {`, `"units": null, "other": {`},
		{`"held": {`, `"held": null, "other": {`},
		{`"/etc/rc.local": {`, `"/etc/../root/.ssh/authorized_keys": {`},
		{`"/etc/rc.local": {`, `"etc/rc.local": {`},
		{`"/var/lib/rlb/before/etc/rc.local"`, `"/tmp/mine"`},
		{`"/var/lib/rlb/before/etc/rc.local"`, `""`},
		{`"mode": 493`, `"mode": 2541`},
		{`"haproxy.service": {`, `"--user": {`},
		{`"haproxy": false`, `"haproxy-": false`},
		{`"liblua5.3-0"`, `"-oDpkg::Pre-Invoke=x"`},
		{`--dport 9000 -j ACCEPT"`, `--dport 9000 -j ACCEPT\n-F"`},
		{`"-A INPUT -p`, `"-A FORWARD -p`},
		{`"generation": 0`, `"generation": 1, "generations": [{"number": 1}]`},
	} {
		text := strings.Replace(whole, edit[0], edit[1], 1)
		if text == whole {
			t.Fatalf("the memory has no %s:\n%s", edit[0], whole)
		}
		d.Put(state.MemoryFile, text, 0o600)
		d.Put(state.MemoryFile+".copy", text, 0o600)
		if _, err := state.ReadMemory(t.Context(), d); err == nil {
			t.Errorf("believed %s", edit[1])
		}
	}
}

// TestMemoryThatMayNotBeRead: a missing permission is reported as such and does not count as damage.
func TestMemoryThatMayNotBeRead(t *testing.T) {
	d := newDisk()
	aMemory(t, d)
	d.FailMethod("File", host.ErrUnavailable)
	if _, err := state.ReadMemory(t.Context(), d); !errors.Is(err, host.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if _, err := state.ReadLoaded(t.Context(), d); !errors.Is(err, host.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

// TestTrialThatIsGarbled: a trial is read from its copy. If both files are spoiled, the trial is over.
func TestTrialThatIsGarbled(t *testing.T) {
	want := state.Trial{Version: 1, File: "/root/new.yaml", Spec: "/etc/rlb/spec.yaml", Deadline: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	for name, spoil := range spoils {
		d := newDisk()
		if err := want.Write(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		spoil(d, state.TrialFile)
		got, err := state.RunningTrial(t.Context(), d)
		if err != nil || got.Damage == nil || !cmp.Equal(want, *got, cmpopts.IgnoreFields(want, "Damage")) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		spoil(d, state.TrialFile+".copy")
		got, err = state.RunningTrial(t.Context(), d)
		if err != nil || got == nil || got.Damage == nil || !got.Over(time.Now()) {
			t.Errorf("%s, the copy too: %+v, %v", name, got, err)
		}
		d.dirs = map[string]bool{}
		if err := state.RemoveTrial(t.Context(), d); err != nil {
			t.Error(err)
		}
		if got, err := state.RunningTrial(t.Context(), d); got != nil || err != nil {
			t.Errorf("%s, removed: %+v, %v", name, got, err)
		}
	}
}

func allSpoils(more map[string]func(*disk, string)) map[string]func(*disk, string) {
	for name, spoil := range spoils {
		more[name] = spoil
	}
	return more
}
