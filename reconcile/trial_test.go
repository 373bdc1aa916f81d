package reconcile_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/state"
)

// isolated runs the agent in a bubble of synctest; the run may be killed.
func isolated(t *testing.T, h *fake.Host, do func(ctx context.Context, r *reconcile.Reconciler) error) (killed bool, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &reconcile.Reconciler{Host: h, Log: slog.New(slog.DiscardHandler)}
		killed = fake.Killed(func() { err = do(t.Context(), r) })
	})
	return killed, err
}

// try begins a trial as the command does.
func try(t *testing.T, h *fake.Host, doc *api.Document) (killed bool, err error) {
	t.Helper()
	return isolated(t, h, func(ctx context.Context, r *reconcile.Reconciler) error {
		trial := state.Trial{File: "/root/new.yaml", Spec: "/etc/rlb/spec.yaml", Deadline: time.Now().Add(90 * time.Second)}
		_, err := r.BeginTrial(ctx, doc, trial, "/usr/bin/rlb-agent try --end")
		return err
	})
}

func begin(t *testing.T, h *fake.Host, doc *api.Document) {
	t.Helper()
	if _, err := try(t, h, doc); err != nil {
		t.Fatal(err)
	}
}

// end runs what the trial's unit runs: it returns to the spec file. was says whether there was a trial to end.
func end(t *testing.T, h *fake.Host, file *api.Document) (was, killed bool, err error) {
	t.Helper()
	killed, err = isolated(t, h, func(ctx context.Context, r *reconcile.Reconciler) error {
		trial, err := state.RunningTrial(ctx, h)
		if err != nil || trial == nil {
			return err
		}
		was = true
		_, err = r.Once(ctx, file)
		return errors.Join(err, r.EndTrial(ctx))
	})
	return was, killed, err
}

func noTrace(t *testing.T, when string, h *fake.Host) {
	t.Helper()
	if strings.Contains(h.Dump(), "trial") {
		t.Errorf("%s there is still something of the trial:\n%s", when, h.Dump("/var/lib/rlb/generations"))
	}
}

func TestTrial(t *testing.T) {
	file, tried := port(t, 9000), port(t, 9001)
	h := installed(t, file)
	before := h.Dump("/run/rlb/")
	h.Log = nil
	begin(t, h, tried)
	if effect(t, h, "StartUnit rlb-trial-end.timer") > effect(t, h, "EnableUnit rlb-trial-end.service") {
		t.Errorf("the timer starts late: %q", h.Log)
	}
	if !strings.Contains(h.Loaded("haproxy.service"), "9001") {
		t.Error("what is tried is not in force")
	}
	trial, err := state.RunningTrial(t.Context(), h)
	if err != nil || trial == nil || trial.File != "/root/new.yaml" {
		t.Fatalf("running: %+v, %v", trial, err)
	}
	if doc, err := state.TrialSpec(t.Context(), h); err != nil || doc.Digest != tried.Digest {
		t.Errorf("the spec that is tried: %v", err)
	}
	wantLines(t, "history", history(t, h), generation(1, file))
	if good, err := state.LastGood(t.Context(), h); err != nil || good.Digest != file.Digest {
		t.Errorf("the last good one: %v", err)
	}
	unit, timer := h.Text("/etc/systemd/system/rlb-trial-end.service"), h.Text("/etc/systemd/system/rlb-trial-end.timer")
	if !strings.Contains(unit, "\nExecStart=/usr/bin/rlb-agent try --end\n") || !strings.Contains(timer, "\nOnActiveSec=90000ms\n") {
		t.Errorf("unit:\n%s\ntimer:\n%s", unit, timer)
	}
	if u, err := h.Unit(t.Context(), "rlb-trial-end.service"); err != nil || !u.Enabled() {
		t.Error("a reboot does not end the trial")
	}
	if u, err := h.Unit(t.Context(), "rlb-trial-end.timer"); err != nil || !u.Active() || u.Enabled() {
		t.Error("the timer does not run, or runs at boot again")
	}
	if was, _, err := end(t, h, file); !was || err != nil {
		t.Errorf("the end: %t, %v", was, err)
	}
	same(t, "the trial", h, before, "/run/rlb/")
	if u, err := h.Unit(t.Context(), "rlb-trial-end.service"); err != nil || u.NeedDaemonReload {
		t.Error("systemd still knows the unit")
	}
	noTrace(t, "after its end", h)
	quiet(t, h, file)
	h.Log = nil
	if _, err := isolated(t, h, func(ctx context.Context, r *reconcile.Reconciler) error { return r.EndTrial(ctx) }); err != nil || len(h.Log) > 0 {
		t.Errorf("the end of no trial: %v, effects %q", err, h.Log)
	}
}

// TestTrialDeadlines: the clock may jump. The timer counts by itself; the deadline is for commands that read the trial.
func TestTrialDeadlines(t *testing.T) {
	now := time.Now()
	for _, test := range []struct {
		after time.Duration
		timer string
		over  bool
	}{
		{90 * time.Second, "OnActiveSec=90000ms", false},
		{90*time.Second + 700*time.Millisecond, "OnActiveSec=90700ms", false},
		{-time.Hour, "OnActiveSec=1000ms", true},
		{0, "OnActiveSec=1000ms", true},
		{50 * 365 * 24 * time.Hour, "OnActiveSec=1576800000000ms", false},
	} {
		if got := (state.Trial{Deadline: now.Add(test.after)}).Over(now); got != test.over {
			t.Errorf("over after %v: %t", test.after, got)
		}
		h := installed(t, port(t, 9000))
		_, err := isolated(t, h, func(ctx context.Context, r *reconcile.Reconciler) error {
			_, err := r.BeginTrial(ctx, port(t, 9001), state.Trial{Deadline: time.Now().Add(test.after)}, "/bin/true")
			return err
		})
		if timer := h.Text("/etc/systemd/system/rlb-trial-end.timer"); err != nil || !strings.Contains(timer, test.timer+"\n") {
			t.Errorf("deadline after %v: %v\n%s", test.after, err, timer)
		}
	}
}

// TestTrialAfterATrial: the timer of a trial counts from its own start, whatever an earlier trial left.
func TestTrialAfterATrial(t *testing.T) {
	h := installed(t, port(t, 9000))
	var runs []string
	for range 2 {
		begin(t, h, port(t, 9001))
		u, err := h.Unit(t.Context(), "rlb-trial-end.timer")
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, u.InvocationID)
	}
	if runs[0] == runs[1] {
		t.Error("the first trial's timer ends the second")
	}
}

// TestTrialAfterALateEnd: what ends an earlier trial, and still waits for the lock, does not end the next one.
func TestTrialAfterALateEnd(t *testing.T) {
	h := installed(t, port(t, 9000))
	if err := h.RunDetached(t.Context(), "rlb-trial-end.service", "/usr/bin/rlb-agent", "try", "--end"); err != nil {
		t.Fatal(err)
	}
	begin(t, h, port(t, 9001))
	if u, err := h.Unit(t.Context(), "rlb-trial-end.service"); err != nil || u.Active() {
		t.Errorf("it will end the new trial: %v", err)
	}
}

// TestTrialThatFails: a trial that fails is over at once.
func TestTrialThatFails(t *testing.T) {
	file := port(t, 9000)
	for name, fail := range map[string]func(h *fake.Host){
		"refused":     func(h *fake.Host) { h.Forbidden["haproxy"] = "9001" },
		"undone":      func(h *fake.Host) { h.Busy[9001] = true },
		"port taken":  func(h *fake.Host) { h.Taken = map[uint16]string{9001: "nginx"} },
		"cannot look": func(h *fake.Host) { h.FailMethod("Packages", errors.New("cannot look at packages")) },
		"not ready":   func(h *fake.Host) { h.NotReady = host.ErrUnavailable },
	} {
		t.Run(name, func(t *testing.T) {
			h := installed(t, file)
			before := h.Dump(memory...)
			fail(h)
			if _, err := try(t, h, port(t, 9001)); err == nil {
				t.Error("it works")
			}
			noTrace(t, "after a failure", h)
			same(t, "a trial that failed", h, before, memory...)
		})
	}
}

// TestTrialIsNotRemembered: facts of a trial are not used on the way back after a boot without network.
func TestTrialIsNotRemembered(t *testing.T) {
	h := installed(t, parse(t, spec))
	h.Net = append(h.Net, of("eth1", "198.51.100.12/24"))
	begin(t, h, parse(t, spec+"vrrp: {interface: eth1}\n"))
	h.Reboot()
	h.Net = h.Net[:1]
	if _, _, err := end(t, h, parse(t, spec)); err != nil {
		t.Fatal(err)
	}
	if got := h.Text("/etc/keepalived/keepalived.conf"); !strings.Contains(got, "eth0") || strings.Contains(got, "eth1") {
		t.Errorf("keepalived:\n%s", got)
	}
}

// TestTrialWithABadSpecFile: if the spec file is refused or fails when a trial ends, the spec from before the trial comes
// back, not the one that nobody confirmed.
func TestTrialWithABadSpecFile(t *testing.T) {
	for name, fail := range map[string]func(h *fake.Host){
		"refused":    func(h *fake.Host) { h.Forbidden["haproxy"] = "9002" },
		"undone":     func(h *fake.Host) { h.Busy[9002] = true },
		"port taken": func(h *fake.Host) { h.Taken = map[uint16]string{9002: "nginx"} },
	} {
		t.Run(name, func(t *testing.T) {
			h := installed(t, port(t, 9000))
			before := h.Dump(memory...)
			fail(h)
			begin(t, h, port(t, 9001))
			_, err := isolated(t, h, func(ctx context.Context, r *reconcile.Reconciler) error {
				doc, _, err := r.LeaveTrial(ctx, port(t, 9002))
				if doc.Digest != port(t, 9000).Digest {
					t.Errorf("it goes back to %s", doc.Data)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
			same(t, "the trial", h, before, memory...)
			noTrace(t, "after its end", h)
		})
	}
}

// TestTrialIsOver: the journal says in one line how each trial ended.
func TestTrialIsOver(t *testing.T) {
	file, tried := port(t, 9000), port(t, 9001)
	once := func(doc *api.Document) func(context.Context, *reconcile.Reconciler) error {
		return func(ctx context.Context, r *reconcile.Reconciler) error {
			_, err := r.Once(ctx, doc)
			return errors.Join(err, r.EndTrial(ctx))
		}
	}
	for name, test := range map[string]struct {
		after time.Duration
		by    string
		keeps bool
		do    func(context.Context, *reconcile.Reconciler) error
		want  string
	}{
		"confirmed":          {30 * time.Second, "bob", true, once(tried), "confirmed by bob; it stays in force" + " trial=confirmed"},
		"confirmed late":     {91 * time.Second, "bob", true, once(tried), "confirmed by bob; it stays in force" + " trial=confirmed"},
		"nobody confirmed":   {90 * time.Second, "systemd", false, once(file), "nobody confirmed it within 1m30s; it is no longer in force trial=expired"},
		"booted":             {30 * time.Second, "systemd", false, once(file), "this host was booted again; it is no longer in force trial=ended"},
		"the daemon":         {100 * time.Second, "", false, once(file), "nobody confirmed it within 1m30s; it is no longer in force trial=expired"},
		"confirm lost power": {30 * time.Second, "systemd", false, once(tried), "the spec file has become what was tried; it stays in force trial=confirmed"},
		"taken back":         {30 * time.Second, "bob", false, once(file), "ended early by bob; it is no longer in force trial=ended"},
		"failed":             {30 * time.Second, "bob", false, func(ctx context.Context, r *reconcile.Reconciler) error { return r.EndTrial(ctx) }, "the run that should end it failed; rlb-agent status shows which spec is in force trial=failed"},
		"torn down": {30 * time.Second, "bob", false, func(ctx context.Context, r *reconcile.Reconciler) error {
			_, err := r.Teardown(ctx, true)
			return err
		}, "the load balancer is torn down" + ` trial="torn down"`},
	} {
		t.Run(name, func(t *testing.T) {
			h := installed(t, file)
			synctest.Test(t, func(t *testing.T) {
				var journal, log strings.Builder
				plain := func(w io.Writer) *slog.Logger {
					return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
						if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
							return slog.Attr{}
						}
						return a
					}}))
				}
				r := &reconcile.Reconciler{Host: h, Log: plain(&log), Note: plain(&journal), By: "alice"}
				began := time.Now()
				trial := state.Trial{File: "/root/new.yaml", Spec: "/etc/rlb/spec.yaml", By: "alice", Since: began, Deadline: began.Add(90 * time.Second)}
				if _, err := r.BeginTrial(t.Context(), tried, trial, "/usr/bin/rlb-agent try --end"); err != nil || journal.Len() > 0 {
					t.Fatal(err, journal.String())
				}
				time.Sleep(test.after)
				r = &reconcile.Reconciler{Host: h, Log: plain(&log), Note: plain(&journal), By: test.by, Keeps: test.keeps}
				if err := test.do(t.Context(), r); err != nil {
					t.Fatal(err)
				}
				text, want := strings.NewReplacer(`msg="`, "", `" trial`, " trial").Replace(journal.String()), "the trial of /root/new.yaml since "+began.Format(time.TimeOnly)+" by alice is over: "+test.want+"\n"
				if text != want || strings.Contains(log.String(), "trial") {
					t.Errorf("the journal has\n%s\nwant\n%s\nthe log has\n%s", text, want, log.String())
				}
			})
		})
	}
}

// TestTrialByAProgramOfOthers: systemd runs the agent's program as root to end a trial. If other users can change the
// program, no trial begins.
func TestTrialByAProgramOfOthers(t *testing.T) {
	for _, shared := range []string{"/usr/bin", "/usr"} {
		h := installed(t, port(t, 9000))
		before := h.Dump()
		h.Shared = []string{shared}
		_, err := try(t, h, port(t, 9001))
		if want := "cannot begin a trial: systemd would run /usr/bin/rlb-agent as root to end it: others than root may write " + shared; !errors.Is(err, host.ErrUnavailable) || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
		if after := h.Dump(); after != before {
			t.Errorf("it changed the host:\n%s", after)
		}
	}
}

// TestTrialThatFailsIsOver: the log says that a trial could not be brought into force, and not that it was taken back.
func TestTrialThatFailsIsOver(t *testing.T) {
	h := installed(t, port(t, 9000))
	h.Busy[9001] = true
	var log strings.Builder
	synctest.Test(t, func(t *testing.T) {
		r := &reconcile.Reconciler{Host: h, Log: slog.New(slog.NewTextHandler(&log, nil))}
		trial := state.Trial{File: "/root/new.yaml", Deadline: time.Now().Add(time.Minute)}
		if _, err := r.BeginTrial(t.Context(), port(t, 9001), trial, "/usr/bin/rlb-agent try --end"); err == nil {
			t.Error("it works")
		}
	})
	if text := log.String(); strings.Count(text, "the trial of") != 1 || !strings.Contains(text, "the trial of /root/new.yaml is over: it could not be brought into force") {
		t.Errorf("the log has\n%s", text)
	}
}
