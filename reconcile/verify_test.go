package reconcile_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/status"
)

// TestVerificationFailureGoesBack: systemd reports a reload as done although the new worker could not bind. The old file
// must be restored and loaded.
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

// TestWayBackIsVerified: after the undo HAProxy may be unable to serve as before, too. This must be reported.
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

// TestListenersAreVerified: HAProxy does not listen for a service although its worker is new and well.
func TestListenersAreVerified(t *testing.T) {
	h := installed(t, parse(t, spec))
	h.Deaf = true
	_, _, err := once(t, h, edited(t, "9000", "9001"))
	if err == nil || !strings.HasPrefix(err.Error(), "cannot see haproxy listening on 0.0.0.0:9001") {
		t.Errorf("got %v", err)
	}
}

// TestRoleNotVerified: an edit is not undone because keepalived's role is not available: any user can block its dump in
// /tmp. This is logged and shown in the status.
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

// TestRoleNotVerifiedHidesNothing: a role that is not available does not hide other problems.
func TestRoleNotVerifiedHidesNothing(t *testing.T) {
	h := installed(t, parse(t, spec))
	h.FailMethod("VRRP", errors.New("cannot get keepalived's state: somebody is in the way"))
	h.Deaf = true
	_, _, err := once(t, h, edited(t, "9000", "9001"))
	if err == nil || !strings.HasPrefix(err.Error(), "cannot see haproxy listening on 0.0.0.0:9001") {
		t.Errorf("got %v", err)
	}
}

// TestStoppedBySomebodyDuringAnEdit: somebody stops or restarts a service during an edit, after any of its steps. The edit
// is not undone for this, and the same run starts the stopped service.
func TestStoppedBySomebodyDuringAnEdit(t *testing.T) {
	edits := map[string]*api.Document{
		"weight": edited(t, "address: 198.51.100.21", "address: 198.51.100.21\n    weight: 7"), "port": edited(t, "9000", "9001"),
		"priority": parse(t, spec+"vrrp: {priority: 77}\n"), "both": parse(t, spec+"vrrp: {priority: 77}\nproxy: {maxConnections: 77}\n"),
	}
	acts := map[string]func(host.Host, context.Context, string) error{"stop": host.Host.StopUnit, "restart": host.Host.RestartUnit}
	for name, doc := range edits {
		for _, unit := range []string{host.HAProxyUnit, host.KeepalivedUnit} {
			for verb, act := range acts {
				steps := len(must(t, installed(t, parse(t, spec)), doc).Steps)
				for at := 1; at <= steps; at++ {
					t.Run(fmt.Sprintf("%s: %s %s after step %d of %d", name, verb, unit, at, steps), func(t *testing.T) {
						h := installed(t, parse(t, spec))
						h.Follows = true
						done := 0
						log := slog.New(handler(func(r slog.Record) {
							if done++; done == at {
								h.Admin(func(ctx context.Context, h host.Host) error { return act(h, ctx, unit) })
							}
						}))
						synctest.Test(t, func(t *testing.T) {
							r := reconcile.Reconciler{Host: h, Log: log}
							if _, err := r.Once(t.Context(), doc); err != nil {
								t.Error(err)
							}
						})
						quiet(t, h, doc)
					})
				}
			}
		}
	}
}

// dying is a host whose keepalived dies at a given time.
type dying struct {
	*fake.Host
	at   time.Time
	died func(*host.Unit)
}

func (d *dying) Unit(ctx context.Context, name string) (host.Unit, error) {
	unit, err := d.Host.Unit(ctx, name)
	if name == host.KeepalivedUnit && !d.at.IsZero() && time.Now().After(d.at) {
		d.died(&unit)
	}
	return unit, err
}

// TestStoppedBySomebodyOnTheWayBack: somebody stops keepalived during the undo of an edit. No further plan would start
// keepalived, so this is reported.
func TestStoppedBySomebodyOnTheWayBack(t *testing.T) {
	h := &dying{Host: installed(t, parse(t, spec)), died: func(u *host.Unit) { u.MainPID, u.ActiveState, u.SubState = 0, "inactive", "dead" }}
	h.Busy[9001] = true
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Minute) // keepalived must not be signalled in its first second
		log := slog.New(handler(func(r slog.Record) {
			if strings.HasPrefix(r.Message, "undoing ") {
				h.at = time.Now().Add(-time.Nanosecond)
			}
		}))
		r := reconcile.Reconciler{Host: h, Log: log}
		_, err := r.Once(t.Context(), parse(t, strings.Replace(spec, "9000", "9001", 1)+"vrrp: {priority: 77}\n"))
		var failure *reconcile.Failure
		if !errors.As(err, &failure) || failure.Undo == nil || !strings.Contains(failure.Undo.Error(), "keepalived.service was stopped") {
			t.Errorf("got %v", err)
		}
	})
}

// TestDiesAMomentLater: a keepalived that fails on its configuration dies shortly after it has read it, whether systemd
// starts it again or not.
func TestDiesAMomentLater(t *testing.T) {
	for name, died := range map[string]func(*host.Unit){
		"started again": func(u *host.Unit) { u.MainPID++; u.Restarts++ },
		"dead":          func(u *host.Unit) { u.MainPID, u.ActiveState, u.SubState = 0, "failed", "failed" },
	} {
		t.Run(name, func(t *testing.T) {
			h := &dying{Host: installed(t, parse(t, spec)), died: died}
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Minute) // keepalived must not be signalled in its first second
				log := slog.New(handler(func(r slog.Record) {
					if r.Message == "reload "+host.KeepalivedUnit {
						h.at = time.Now().Add(100 * time.Millisecond) // while the run waits
					}
				}))
				r := reconcile.Reconciler{Host: h, Log: log}
				_, err := r.Once(t.Context(), parse(t, spec+"vrrp: {priority: 77}\n"))
				if err == nil || !strings.HasPrefix(err.Error(), "cannot keep keepalived.service running") {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

// loading is a host whose HAProxy does not answer for a while after each reload, like one that reads a large file.
type loading struct {
	*fake.Host
	takes time.Duration
	until time.Time
}

func (l *loading) ReloadUnit(ctx context.Context, name string) error {
	if name == host.HAProxyUnit {
		l.until = time.Now().Add(l.takes)
	}
	return l.Host.ReloadUnit(ctx, name)
}

func (l *loading) Workers(ctx context.Context, socket string) (host.Workers, error) {
	if time.Now().Before(l.until) {
		return host.Workers{}, errors.New("cannot ask HAProxy's master for its workers: no answer")
	}
	return l.Host.Workers(ctx, socket)
}

// TestHAProxyIsWaitedForByItsSize: a run waits longer for a HAProxy that reads many servers, also during an undo. A HAProxy
// with few servers that hangs is found soon.
func TestHAProxyIsWaitedForByItsSize(t *testing.T) {
	many := func(port string) *api.Document {
		var servers strings.Builder
		for i := range 10_000 {
			fmt.Fprintf(&servers, "  - address: 10.1.%d.%d\n", i/250, i%250+1)
		}
		return parse(t, strings.Replace(spec, "9000", port, 1)+"- name: many\n  port: 7000\n  healthCheck: {type: none}\n  servers:\n"+servers.String())
	}
	for name, c := range map[string]struct {
		was, edit *api.Document
		takes     time.Duration
		busy      uint16
		want      string
		within    time.Duration
	}{
		"many":             {parse(t, spec), many("9000"), 15 * time.Second, 0, "", 16 * time.Second},
		"many, undone":     {many("9000"), many("9001"), 15 * time.Second, 9001, "what was there before is in force again", 90 * time.Second},
		"many, hangs":      {many("9000"), many("9001"), time.Hour, 0, "manual intervention", 4 * time.Minute},
		"few, hangs":       {parse(t, spec), edited(t, "9000", "9001"), time.Hour, 0, "manual intervention", 25 * time.Second},
		"few that is slow": {parse(t, spec), edited(t, "9000", "9001"), 9 * time.Second, 0, "", 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			h := &loading{Host: installed(t, c.was), takes: c.takes}
			h.Busy[c.busy] = true
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Minute) // keepalived must not be signalled in its first second
				began := time.Now()
				_, err := (&reconcile.Reconciler{Host: h, Log: slog.New(slog.DiscardHandler)}).Once(t.Context(), c.edit)
				if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(began); took > c.within {
					t.Errorf("it took %v, more than %v", took, c.within)
				}
			})
		})
	}
}

// handler passes each record of a log to a function.
type handler func(slog.Record)

func (handler) Enabled(context.Context, slog.Level) bool        { return true }
func (f handler) Handle(_ context.Context, r slog.Record) error { f(r); return nil }
func (f handler) WithAttrs([]slog.Attr) slog.Handler            { return f }
func (f handler) WithGroup(string) slog.Handler                 { return f }
