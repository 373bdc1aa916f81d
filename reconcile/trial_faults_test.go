package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/reconcile/state"
)

// TestTrialInterrupted: a trial, its end and its confirmation are interrupted at any effect. The timer, the boot or the
// next run then returns to the spec file and leaves nothing behind.
func TestTrialInterrupted(t *testing.T) {
	file, tried := port(t, 9000), port(t, 9001)
	acts := map[string]struct {
		begun bool
		act   func(t *testing.T, h *fake.Host) (killed bool, err error)
		after *api.Document // the spec file after it
	}{
		"begin": {false, func(t *testing.T, h *fake.Host) (bool, error) { return try(t, h, tried) }, file},
		"end": {true, func(t *testing.T, h *fake.Host) (bool, error) {
			_, killed, err := end(t, h, file)
			return killed, err
		}, file},
		"confirm": {true, func(t *testing.T, h *fake.Host) (bool, error) {
			_, killed, err := end(t, h, tried) // the spec file is replaced first
			return killed, err
		}, tried},
	}
	ways := map[string]func(t *testing.T, h *fake.Host, file *api.Document) error{
		"timer": func(t *testing.T, h *fake.Host, file *api.Document) error {
			_, _, err := end(t, h, file)
			return err
		},
		"boot": func(t *testing.T, h *fake.Host, file *api.Document) error {
			h.Reboot()
			_, _, err := end(t, h, file)
			return err
		},
		"next run": func(*testing.T, *fake.Host, *api.Document) error { return nil },
	}
	for what, a := range acts {
		for when, stop := range map[string]func(*fake.Host, int){
			"before": (*fake.Host).StopBefore, "after": (*fake.Host).StopAfter,
			"error": func(h *fake.Host, n int) { h.FailAt(n, errors.New("cannot do it: disk full")) },
		} {
			for way, finish := range ways {
				t.Run(what+", "+when+", "+way, func(t *testing.T) {
					t.Parallel()
					whole := installed(t, a.after)
					if way == "boot" {
						whole.Reboot()
					}
					start := installed(t, file)
					if a.begun {
						begin(t, start, tried)
					}
					for n := 1; ; n++ {
						h := start.Clone()
						stop(h, n)
						killed, err := a.act(t, h)
						if !killed && err == nil && len(h.Log) < n {
							return
						}
						at := fmt.Sprintf("%s effect %d (%s)", when, n, h.Log[min(n, len(h.Log))-1])
						h.Heal()
						called := armed(t, h)
						if err := finish(t, h, a.after); err != nil {
							t.Fatalf("%s: %v", at, err)
						}
						if called && way != "next run" {
							noTrace(t, at+", then the "+way, h)
						}
						must(t, h, a.after) // a run of the daemon or of a user
						noTrace(t, at, h)
						sameText(t, at, timeless(whole, memory...), timeless(h, memory...))
						quiet(t, h, a.after)
						if t.Failed() {
							t.FailNow()
						}
					}
				})
			}
		}
	}
}

// TestTrialIsArmedFirst: the end of a trial is set up before the trial changes anything, and stays set up while the host is
// not as before.
func TestTrialIsArmedFirst(t *testing.T) {
	file, tried := port(t, 9000), port(t, 9001)
	running := func(h *fake.Host) bool {
		trial, err := state.RunningTrial(t.Context(), h)
		return err == nil && trial != nil && armed(t, h)
	}
	before := installed(t, file).Dump(append(memory, "/etc/systemd/system/rlb-trial")...)
	changed := 0
	start := installed(t, file)
	for n := 1; ; n++ {
		h := start.Clone()
		h.StopAfter(n)
		killed, _ := try(t, h, tried)
		if !killed {
			break
		}
		dump := strings.ReplaceAll(h.Dump(append(memory, "/var/lib/rlb/trial", "/etc/systemd/system/rlb-trial")...), "\\ no newline\n", "")
		if !strings.Contains(dump, "9001") {
			continue
		}
		if changed++; !running(h) {
			t.Fatalf("killed after effect %d (%s): nothing ends the trial", n, h.Log[len(h.Log)-1])
		}
	}
	if changed < 3 {
		t.Errorf("only %d kills after a change; before:\n%s", changed, before)
	}

	// stopped half-way and not undone
	h := installed(t, file)
	_, err := isolated(t, h, func(ctx context.Context, r *reconcile.Reconciler) error {
		ctx, cancel := context.WithCancel(ctx)
		r.Step = func(s plan.Step) {
			if strings.HasPrefix(s.String(), "reload") {
				cancel()
			}
		}
		_, err := r.BeginTrial(ctx, tried, state.Trial{Deadline: time.Now().Add(time.Minute)}, "/bin/true")
		return err
	})
	if !errors.Is(err, context.Canceled) && err != nil {
		t.Errorf("got %v", err)
	}
	if strings.Contains(h.Text("/etc/haproxy/haproxy.cfg"), "9001") && !running(h) {
		t.Error("the host is half-way, and nothing ends the trial")
	}
}

// armed reports whether the timer and the boot will run the end of the trial.
func armed(t *testing.T, h *fake.Host) bool {
	t.Helper()
	timer, err := h.Unit(t.Context(), "rlb-trial-end.timer")
	boot, bootErr := h.Unit(t.Context(), "rlb-trial-end.service")
	if err := errors.Join(err, bootErr); err != nil {
		t.Fatal(err)
	}
	return timer.Active() && boot.Enabled() && boot.LoadState == "loaded"
}
