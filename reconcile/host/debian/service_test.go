package debian

import (
	"context"
	"log/slog"
	"os/exec"
	"slices"
	"testing"
	"time"

	godbus "github.com/godbus/dbus/v5"

	"rlb.dev/rlb-agent/reconcile/host"
)

// process starts a process that runs until it is killed.
func process(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

func TestAwaitEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	killed, stays := process(t), process(t)
	ends := map[*exec.Cmd]chan error{killed: make(chan error, 1), stays: make(chan error, 1)}
	for cmd, end := range ends {
		go func() { end <- awaitEnd(ctx, cmd.Process.Pid) }()
	}
	select {
	case err := <-ends[killed]:
		t.Fatalf("a process that runs has ended: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	_ = killed.Process.Kill()
	if err := <-ends[killed]; err != nil { // now it is a zombie
		t.Error(err)
	}
	_ = killed.Wait()
	if err := awaitEnd(ctx, killed.Process.Pid); err != nil { // now it no longer exists
		t.Error(err)
	}
	cancel()
	if err := <-ends[stays]; err == nil {
		t.Error("a process that runs has ended with the watch")
	}
}

// TestServiceStates: the death of a main process is reported once, before systemd reports it.
func TestServiceStates(t *testing.T) {
	told := make(chan string, 10)
	s := serviceStates{changed: func(state string) { told <- state }}
	defer s.watches.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	h := &Host{log: slog.New(slog.DiscardHandler)}
	systemd := func(state string, cmd *exec.Cmd) {
		unit := host.Unit{ActiveState: state}
		if cmd != nil {
			unit.MainPID = cmd.Process.Pid
		}
		s.is(ctx, h, unit)
	}
	want := func(states ...string) {
		t.Helper()
		var got []string
		for len(got) < len(states) {
			select {
			case state := <-told:
				got = append(got, state)
			case <-time.After(5 * time.Second):
				t.Fatalf("told %q, want %q", got, states)
			}
		}
		select {
		case state := <-told:
			t.Fatalf("told %q after %q", state, got)
		case <-time.After(20 * time.Millisecond):
		}
		if !slices.Equal(got, states) {
			t.Fatalf("told %q, want %q", got, states)
		}
	}
	first, second := process(t), process(t)
	systemd("active", first)
	systemd("reloading", first)
	systemd("active", first)
	want("active", "reloading", "active")
	_ = first.Process.Kill()
	want("failed")
	systemd("active", first) // an outdated state from before its death
	want()
	systemd("deactivating", nil)
	systemd("activating", nil)
	systemd("active", second)
	want("deactivating", "activating", "active")
	systemd("deactivating", nil) // it is being stopped
	_ = second.Process.Kill()
	want("deactivating")
	systemd("inactive", nil)
	want("inactive")
}

// TestServiceStateOfABusySystemd: a state that could not be read after the signal of a change is read later. systemd does
// not signal that change again.
func TestServiceStateOfABusySystemd(t *testing.T) {
	t.Parallel()
	systemd := &fakeSystemd{answers: map[string]any{"AddMatch": "", "Get": godbus.MakeVariant("failed")}}
	h, _ := newFake(t)
	systemd.listen(t, h)
	systemd.busy.Store(true)
	told := make(chan string, 10)
	s := serviceStates{changed: func(state string) { told <- state }}
	s.look(t.Context(), h, host.HAProxyUnit)
	select {
	case state := <-told:
		if state != "failed" {
			t.Errorf("told %q", state)
		}
	default:
		t.Error("the state was never told")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = h.Close()
	s.look(ctx, h, host.HAProxyUnit) // it ends with ctx
}
