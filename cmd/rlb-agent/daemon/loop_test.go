package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/status"
	"rlb.dev/rlb-agent/render"
)

const specPath = "/etc/rlb/spec.yaml"

const smallSpec = `apiVersion: rlb.dev/v1
kind: LoadBalancerSpec
virtualIPs: [198.51.100.10]
services:
- name: web
  port: 9000
  servers:
  - address: 198.51.100.21
`

// memoryHost is fake.Host with a lock.
type memoryHost struct {
	*fake.Host
	installing *bool
}

func (memoryHost) Lock(context.Context, time.Duration) (func(), error) { return func() {}, nil }

func (h memoryHost) Installing() bool { return h.installing != nil && *h.installing }

// kept is a loop on a fake host, with the spec file that it reads and its log.
type kept struct {
	*loop
	t    *testing.T
	h    *fake.Host
	spec string // "": the file does not exist
	apt  bool   // another program runs apt
	log  bytes.Buffer
}

func newKept(t *testing.T, h *fake.Host, spec string) *kept {
	k := &kept{t: t, h: h, spec: spec}
	log := slog.New(lines{&k.log})
	readSpec := func() (*api.Document, error) {
		if k.spec == "" {
			return nil, fmt.Errorf("cannot read the spec: %w", fs.ErrNotExist)
		}
		return api.Parse(specPath, []byte(k.spec))
	}
	c := Config{
		Watchdog: NewWatchdog(), Spec: specPath, ReadSpec: readSpec,
		LockTimeout: time.Minute, Log: log, Version: "v1",
	}
	k.loop = newLoop(memoryHost{h, &k.apt}, c, newReporter(h, "v1", log))
	k.loadMemory(t.Context())
	k.tick(t.Context(), cause{started: true})
	return k
}

// lines logs plain messages, each with its reason.
type lines struct{ to io.StringWriter }

func (l lines) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

func (l lines) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		if value := a.Value.String(); a.Key == "reason" && !strings.HasPrefix(text, value) {
			text += ": " + value
		}
		return true
	})
	_, err := l.to.WriteString(text + "\n")
	return err
}

func (l lines) WithAttrs([]slog.Attr) slog.Handler { return l }

func (l lines) WithGroup(string) slog.Handler { return l }

// next runs one tick and returns what it logged.
func (k *kept) next(why cause) (pause time.Duration, log []string) {
	k.log.Reset()
	k.h.Log = nil
	pause = k.tick(k.t.Context(), why)
	if text := strings.TrimSpace(k.log.String()); text != "" {
		log = strings.Split(text, "\n")
	}
	return pause, log
}

func (k *kept) edit(spec string) (log []string) {
	k.spec = spec
	_, log = k.next(cause{seen: []string{specPath}})
	return log
}

func (k *kept) status() (s status.Status) {
	k.t.Helper()
	if err := json.Unmarshal([]byte(k.h.Text(state.StatusFile)), &s); err != nil {
		k.t.Fatal(err)
	}
	return s
}

// valid returns the condition SpecValid with its message.
func (k *kept) valid() string {
	k.t.Helper()
	for _, c := range k.status().Conditions {
		if c.Type == "SpecValid" {
			return strings.TrimSpace(c.Status + " " + c.Message)
		}
	}
	return ""
}

func (k *kept) running(unit string) bool {
	u, err := k.h.Unit(k.t.Context(), unit)
	return err == nil && u.Active()
}

// effects returns the calls that change more than the agent's own files.
func (k *kept) effects() []string {
	return slices.DeleteFunc(slices.Clone(k.h.Log), func(call string) bool {
		return strings.Contains(call, "/run/rlb/") || strings.Contains(call, "/var/lib/rlb/")
	})
}

func quietly(t *testing.T, do func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, do)
}

const tampered = "# by hand\n"

func (k *kept) tamper() { k.h.Put(render.DefaultHAProxyConfig, tampered, 0o644) }

func (k *kept) isTampered() bool { return k.h.Text(render.DefaultHAProxyConfig) == tampered }

// TestLoopRepairs: an idle agent changes and logs nothing. Drift is repaired, counted, and logged in one line with
// its reason.
func TestLoopRepairs(t *testing.T) {
	quietly(t, func(t *testing.T) {
		k := newKept(t, fake.New(), smallSpec)
		if !k.running("haproxy.service") || !strings.Contains(k.log.String(), "start haproxy.service: first run") {
			t.Fatalf("the first run: %s", &k.log)
		}
		for range 3 {
			if pause, log := k.next(cause{}); pause != time.Minute || log != nil || len(k.effects()) > 0 {
				t.Errorf("an idle agent: pause %v, log %q, effects %q", pause, log, k.h.Log)
			}
		}
		k.h.Crash("haproxy.service")
		_, log := k.next(cause{seen: []string{"haproxy.service"}})
		if len(log) != 1 || log[0] != "haproxy.service did not run: started" || !k.running("haproxy.service") {
			t.Errorf("the repair: %q", log)
		}
		if d, err := state.ReadDrift(t.Context(), k.h); err != nil || d.Found != 1 || d.Repaired != 1 || !d.Last.Repaired || d.Last.Steps[0] != "start haproxy.service" {
			t.Errorf("the record: %+v %+v %v", d, d.Last, err)
		}
		// a restarted daemon continues the count
		k = newKept(t, k.h, smallSpec)
		k.tamper()
		k.next(cause{})
		if k.isTampered() || k.drift.Found != 2 {
			t.Errorf("after a restart of the daemon: tampered %t, %+v", k.isTampered(), k.drift)
		}
	})
}

// TestLoopRepairsWhatChangesMeanwhile: a change of the host during a repair is repaired at once, not at the next regular look,
// although the last look of the repair is later than the change.
func TestLoopRepairsWhatChangesMeanwhile(t *testing.T) {
	quietly(t, func(t *testing.T) {
		k := newKept(t, fake.New(), smallSpec)
		k.host = meddler{k.host, k.tamper}
		k.h.Crash("keepalived.service")
		time.Sleep(time.Minute) // a keepalived that died stays down for a moment
		pause, _ := k.next(cause{seen: []string{"keepalived.service"}})
		if !k.running("keepalived.service") || !k.isTampered() || pause > time.Second {
			t.Fatalf("keepalived runs: %t, the file is tampered with: %t, pause %v", k.running("keepalived.service"), k.isTampered(), pause)
		}
		k.host = k.host.(meddler).Lockable
		time.Sleep(pause)
		if k.next(cause{}); k.isTampered() {
			t.Error("not repaired")
		}
	})
}

// meddler is a host on which somebody changes something whenever the agent starts a unit.
type meddler struct {
	Lockable
	meddle func()
}

func (m meddler) StartUnit(ctx context.Context, name string) error {
	m.meddle()
	return m.Lockable.StartUnit(ctx, name)
}

// TestLoopReports: with reconcile.drift: report nothing is repaired, not even at the start of the daemon, and each
// drift is logged once.
func TestLoopReports(t *testing.T) {
	quietly(t, func(t *testing.T) {
		spec := smallSpec + "reconcile: {drift: report, interval: 10s}\n"
		k := newKept(t, fake.New(), spec)
		for _, start := range []bool{false, true} {
			if start {
				k = newKept(t, k.h, spec)
			}
			k.h.Crash("haproxy.service")
			_, log := k.next(cause{})
			if start {
				log = strings.Split(strings.TrimSpace(k.log.String()), "\n")
			}
			pause, again := k.next(cause{})
			if k.running("haproxy.service") || len(k.effects()) > 0 {
				t.Fatalf("repaired: %q", k.h.Log)
			}
			if !start && (len(log) != 1 || !strings.Contains(log[0], "is not repaired (reconcile.drift: report). A repair would: start haproxy.service")) {
				t.Errorf("log %q", log)
			}
			if again != nil || pause != 10*time.Second {
				t.Errorf("said again: %q, pause %v", again, pause)
			}
		}
		if k.drift.Repaired != 0 || k.drift.Last.Repaired {
			t.Errorf("record %+v", k.drift)
		}
		if k.next(cause{asked: true}); !k.running("haproxy.service") {
			t.Error("asked to reconcile, it does not")
		}
	})
}

// TestLoopWaitsForAFirstSpec: a daemon that never had a spec waits for one. It logs this once, and not as an error.
func TestLoopWaitsForAFirstSpec(t *testing.T) {
	quietly(t, func(t *testing.T) {
		k := newKept(t, fake.New(), "")
		if log := k.log.String(); log != "waiting for a first spec at "+specPath+": rlb-agent init writes one, rlb-agent import makes one of installed files\n" {
			t.Errorf("log %q", log)
		}
		if _, log := k.next(cause{}); log != nil {
			t.Errorf("said again: %q", log)
		}
		if log := strings.Join(k.edit(smallSpec), "\n"); strings.Contains(log, "again") || k.valid() != "True" {
			t.Errorf("SpecValid %q, log:\n%s", k.valid(), log)
		}
	})
}

// TestLoopBadSpec: a spec that is invalid, missing or refused changes nothing and is logged once; meanwhile the last good
// spec is maintained.
func TestLoopBadSpec(t *testing.T) {
	for _, tt := range []struct{ name, spec, want string }{
		{"gone", "", "cannot read the spec"},
		{"not valid", smallSpec + "proxi: {}\n", `proxi: unknown field, did you mean "proxy"?`},
		{"refused by haproxy", strings.Replace(smallSpec, "21", "66", 1), "haproxy refuses its configuration"},
		{"rolled back", strings.Replace(smallSpec, "21", "77", 1), "no server of web is up, but before the change one was"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			quietly(t, func(t *testing.T) {
				h := fake.New()
				h.Forbidden["haproxy"] = "198.51.100.66"
				h.Blind, h.Sick = true, "198.51.100.77"
				k := newKept(t, h, smallSpec)
				if k.valid() != "True" {
					t.Errorf("SpecValid %q", k.valid())
				}
				before := h.Text(render.DefaultHAProxyConfig)
				log := k.edit(tt.spec)
				last := log[len(log)-1]
				if !strings.HasPrefix(last, "spec refused: ") || !strings.Contains(last, "generation 1 ") || strings.Count(strings.Join(log, "\n"), tt.want) != 1 || h.Text(render.DefaultHAProxyConfig) != before {
					t.Fatalf("log %q", log)
				}
				valid := k.valid()
				if !strings.HasPrefix(valid, "False ") || !strings.Contains(valid, tt.want) {
					t.Errorf("SpecValid %q", valid)
				}
				for range 3 {
					if _, log := k.next(cause{}); log != nil || len(k.effects()) > 0 {
						t.Errorf("logged or tried again: %q %q", log, k.h.Log)
					}
				}
				k.tamper()
				if k.next(cause{}); h.Text(render.DefaultHAProxyConfig) != before {
					t.Error("the last good spec is not kept")
				}
				if k.valid() != valid {
					t.Errorf("after a repair SpecValid is %q", k.valid())
				}
				// a restarted daemon keeps the refusal
				h.Log = nil
				k = newKept(t, h, tt.spec)
				if len(k.effects()) > 0 || h.Text(render.DefaultHAProxyConfig) != before || k.valid() != valid {
					t.Errorf("after a restart: effects %q, SpecValid %q", k.h.Log, k.valid())
				}
				// the valid spec again
				log = k.edit(smallSpec)
				if len(log) != 1 || log[0] != "the spec is valid again" || k.valid() != "True" {
					t.Errorf("the good spec: log %q, SpecValid %q", log, k.valid())
				}
				if k.edit(strings.Replace(smallSpec, "21", "22", 1)); !strings.Contains(h.Text(render.DefaultHAProxyConfig), "198.51.100.22") {
					t.Error("an edit after it does not go live")
				}
			})
		})
	}
}

// TestLoopRetriesRefused: a spec with a cause that may pass is tried again and logged once; meanwhile the spec in
// force is maintained.
func TestLoopRetriesRefused(t *testing.T) {
	quietly(t, func(t *testing.T) {
		h := fake.New()
		k := newKept(t, h, smallSpec)
		before := h.Text(render.DefaultHAProxyConfig)
		h.Taken = map[uint16]string{9001: "perl"}
		log := k.edit(strings.Replace(smallSpec, "9000", "9001", 1))
		if len(log) != 1 || !strings.HasPrefix(log[0], "spec refused: /etc/rlb/spec.yaml:6:9: services[0].port: ") || !strings.Contains(log[0], "9001 is taken by perl (process 1)") ||
			!strings.HasSuffix(log[0], "; generation 1 stays in force") {
			t.Fatalf("log %q", log)
		}
		for began := time.Now(); time.Since(began) < 5*time.Minute; {
			pause, log := k.next(cause{})
			if log != nil || len(k.effects()) > 0 || pause > 30*time.Second || pause <= 0 {
				t.Fatalf("after %v: pause %v, log %q, effects %q", time.Since(began), pause, log, k.effects())
			}
			time.Sleep(pause)
		}
		k.tamper()
		if k.next(cause{seen: []string{render.DefaultHAProxyConfig}}); h.Text(render.DefaultHAProxyConfig) != before {
			t.Error("the spec in force is not kept")
		}
		if valid := k.valid(); !strings.HasPrefix(valid, "False ") {
			t.Errorf("SpecValid %q", valid)
		}
		k = newKept(t, h, k.spec) // a restarted daemon continues
		h.Taken = nil
		for began := time.Now(); !strings.Contains(h.Text(render.DefaultHAProxyConfig), "9001"); {
			if time.Since(began) > 30*time.Second {
				t.Fatal("not tried again")
			}
			pause, _ := k.next(cause{})
			time.Sleep(pause)
		}
		if k.valid() != "True" || h.Text(state.RefusedFile) != "" || k.status().PendingSpec != nil {
			t.Errorf("in force: %+v", k.status())
		}
	})
}

// TestLoopFirstRunWaitsForTheArchive: a first run that cannot reach the archive yet, or that finds dpkg locked for long,
// is tried again until it succeeds.
func TestLoopFirstRunWaitsForTheArchive(t *testing.T) {
	quietly(t, func(t *testing.T) {
		h := fake.New()
		h.FailMethod("InstallPackages", host.ForNow(errors.New("cannot install haproxy: apt-get: E: Unable to locate package haproxy")))
		k := newKept(t, h, smallSpec)
		for began := time.Now(); time.Since(began) < time.Hour; {
			pause, _ := k.next(cause{})
			if k.refused != nil || pause > 6*time.Minute || pause <= 0 {
				t.Fatalf("after %v: pause %v, refused %v", time.Since(began), pause, k.refused)
			}
			time.Sleep(pause)
		}
		h.Heal()
		for began := time.Now(); !strings.Contains(h.Text(render.DefaultHAProxyConfig), "9000"); {
			if time.Since(began) > 6*time.Minute {
				t.Fatal("not tried again")
			}
			pause, _ := k.next(cause{})
			time.Sleep(pause)
		}
	})
}

// TestLoopTriesAgainAfterAShortage: a spec that is undone at any of its effects because the host is short of something is
// in force ten seconds later at most, if the shortage was brief, and is not tried more often than every five minutes if it lasts.
func TestLoopTriesAgainAfterAShortage(t *testing.T) {
	better := strings.Replace(smallSpec, "21", "22", 1)
	for _, why := range []error{
		&fs.PathError{Op: "write", Path: state.MemoryFile, Err: syscall.ENOSPC},
		errors.New("cannot install haproxy: dpkg: error: failed to write: No space left on device"),
		host.ForNow(errors.New("Could not get lock")),
	} {
		for n := 1; n <= 12; n++ {
			quietly(t, func(t *testing.T) {
				k := newKept(t, fake.New(), smallSpec)
				k.h.FailAt(n, why)
				k.spec = better
				pause, _ := k.next(cause{seen: []string{specPath}})
				k.h.Heal()
				for began := time.Now(); !strings.Contains(k.h.Text(render.DefaultHAProxyConfig), "198.51.100.22"); pause, _ = k.next(cause{}) {
					if time.Since(began) > 10*time.Second {
						t.Fatalf("%v at effect %d: not tried again, refused %+v", why, n, k.refused)
					}
					time.Sleep(pause)
				}
			})
		}
	}
	quietly(t, func(t *testing.T) {
		k := newKept(t, fake.New(), smallSpec)
		k.h.FailMethod("LoadFirewall", host.ForNow(errors.New("Another app is currently holding the xtables lock")))
		k.spec = strings.Replace(smallSpec, "9000", "9001", 1)
		tries, pause, log := 0, time.Duration(0), []string(nil)
		for began := time.Now(); time.Since(began) < 24*time.Hour; time.Sleep(pause) {
			if pause, log = k.next(cause{}); slices.Contains(log, "undoing 1 steps") {
				tries++
			}
		}
		if tries < 250 || tries > 300 {
			t.Errorf("%d tries in a day: %v", tries, log)
		}
	})
}

// TestLoopStoppedRun: a run that is canceled at any of its effects does not refuse its spec: the spec is tried
// again.
func TestLoopStoppedRun(t *testing.T) {
	quietly(t, func(t *testing.T) {
		better := strings.Replace(smallSpec, "21", "22", 1)
		for n := 1; n <= 12; n++ {
			k := newKept(t, fake.New(), smallSpec)
			k.h.FailAt(n, context.Canceled)
			if k.edit(better); k.refused != nil {
				t.Errorf("stopped at effect %d: refused: %s", n, k.refused.Why)
			}
			k.h.Heal()
			if k.next(cause{started: true}); !strings.Contains(k.h.Text(render.DefaultHAProxyConfig), "198.51.100.22") {
				t.Errorf("stopped at effect %d: not tried again", n)
			}
		}
	})
}

// TestLoopAskedAgain: a refused spec is tried again on SIGHUP.
func TestLoopAskedAgain(t *testing.T) {
	quietly(t, func(t *testing.T) {
		h := fake.New()
		k := newKept(t, h, smallSpec)
		h.Forbidden["haproxy"] = "198.51.100.66"
		better := strings.Replace(smallSpec, "21", "66", 1)
		k.edit(better)
		delete(h.Forbidden, "haproxy")
		k.next(cause{})
		if strings.Contains(h.Text(render.DefaultHAProxyConfig), "198.51.100.66") {
			t.Fatal("tried again of itself")
		}
		k.next(cause{asked: true})
		if !strings.Contains(h.Text(render.DefaultHAProxyConfig), "198.51.100.66") || h.Text(state.RefusedFile) != "" {
			t.Error("not tried when asked to, or the refusal stays")
		}
	})
}

// TestLoopAskedInVain: a request (SIGHUP) that meets a held lock, a trial, or a keepalived that must stay down for a moment,
// is carried out afterwards.
func TestLoopAskedInVain(t *testing.T) {
	for name, hinder := range map[string]func(k *kept) (over func()){
		"a held lock": func(k *kept) func() {
			free := k.host
			k.host = locked{free}
			return func() { k.host = free }
		},
		"a trial": func(k *kept) func() {
			trial := state.Trial{File: "/root/new.yaml", Deadline: time.Now().Add(time.Minute)}
			if err := trial.Write(k.t.Context(), k.h); err != nil {
				k.t.Fatal(err)
			}
			return func() { _ = state.RemoveTrial(k.t.Context(), k.h) }
		},
		"a resting keepalived": func(k *kept) func() {
			k.h.Crash("keepalived.service")
			return func() {}
		},
	} {
		t.Run(name, func(t *testing.T) {
			quietly(t, func(t *testing.T) {
				k := newKept(t, fake.New(), smallSpec)
				k.h.Forbidden["haproxy"] = "198.51.100.66"
				k.edit(strings.Replace(smallSpec, "21", "66", 1))
				delete(k.h.Forbidden, "haproxy")
				over := hinder(k)
				pause, _ := k.next(cause{asked: true})
				if strings.Contains(k.h.Text(render.DefaultHAProxyConfig), "198.51.100.66") {
					t.Fatal("the request was carried out at once")
				}
				time.Sleep(pause)
				over()
				if k.next(cause{}); !strings.Contains(k.h.Text(render.DefaultHAProxyConfig), "198.51.100.66") {
					t.Errorf("the request is forgotten: %s", &k.log)
				}
			})
		})
	}
}

// TestLoopRepairBackOff: if another program undoes a repair at once, the pauses between repairs grow. Drift of another file
// meanwhile does not wait, and after a quiet time the pauses start again from the first.
func TestLoopRepairBackOff(t *testing.T) {
	quietly(t, func(t *testing.T) {
		k := newKept(t, fake.New(), smallSpec)
		var repairs []time.Duration
		began := time.Now()
		warned := ""
		for time.Since(began) < 2*time.Minute {
			if k.tamper(); k.isTampered() {
				_, log := k.next(cause{seen: []string{render.DefaultHAProxyConfig}})
				warned += strings.Join(log, "\n")
			}
			if !k.isTampered() {
				repairs = append(repairs, time.Since(began))
			}
			time.Sleep(200 * time.Millisecond)
		}
		if len(repairs) < 5 || len(repairs) > 8 || repairs[1] > 2*time.Second {
			t.Errorf("repaired after %v", repairs)
		}
		if !strings.Contains(warned, "another program keeps changing this host") {
			t.Errorf("not logged: %s", warned)
		}
		k.h.Crash("haproxy.service")
		if k.next(cause{}); !k.running("haproxy.service") {
			t.Error("a service that stops meanwhile waits")
		}
		time.Sleep(10 * time.Minute)
		for range 2 {
			k.tamper()
			if k.next(cause{}); k.isTampered() {
				t.Error("after a quiet time it still waits")
			}
			time.Sleep(2 * time.Second)
		}
	})
}

// TestLoopLeavesDeadKeepalived: a keepalived that died is started only after the peer has taken over; one that was
// stopped is started at once.
func TestLoopLeavesDeadKeepalived(t *testing.T) {
	for _, tt := range []struct {
		spec string
		want time.Duration
	}{{"", 500 * time.Millisecond}, {"profile: classic\n", 3800 * time.Millisecond}} {
		quietly(t, func(t *testing.T) {
			k := newKept(t, fake.New(), smallSpec+tt.spec)
			k.h.Crash("keepalived.service")
			died := time.Now()
			for _, why := range []cause{{seen: []string{"keepalived.service"}}, {asked: true}, {}, {}, {}} {
				pause, _ := k.next(why)
				if k.running("keepalived.service") {
					break
				}
				time.Sleep(pause)
			}
			took := time.Since(died)
			if !k.running("keepalived.service") || took < tt.want || took > tt.want+400*time.Millisecond {
				t.Errorf("%q: started after %v, want %v", tt.spec, took, tt.want)
			}
			k.h.Admin(func(ctx context.Context, h host.Host) error { return h.StopUnit(ctx, "keepalived.service") })
			if k.next(cause{}); !k.running("keepalived.service") {
				t.Errorf("%q: one that was stopped waits", tt.spec)
			}
		})
	}
}

// later is a host whose clock was set back since keepalived died.
type later struct{ Lockable }

func (l later) Unit(ctx context.Context, name string) (host.Unit, error) {
	unit, err := l.Lockable.Unit(ctx, name)
	if !unit.Died.IsZero() {
		unit.Died = unit.Died.Add(time.Hour)
	}
	return unit, err
}

// TestLoopStartsDeadKeepalivedAfterAClockStep: a dead keepalived does not stay down until the clock is again where it was at
// the death. It still rests.
func TestLoopStartsDeadKeepalivedAfterAClockStep(t *testing.T) {
	quietly(t, func(t *testing.T) {
		k := newKept(t, fake.New(), smallSpec)
		k.host = later{k.host}
		k.h.Crash("keepalived.service")
		died := time.Now()
		pause, _ := k.next(cause{seen: []string{"keepalived.service"}})
		if !k.running("keepalived.service") {
			t.Fatalf("not started, the next look is after %v", pause)
		}
		if took := time.Since(died); took < 500*time.Millisecond {
			t.Errorf("started after %v", took)
		}
	})
}

// TestLoopLeavesInstallationsAlone: a package that another program is installing is not repaired.
func TestLoopLeavesInstallationsAlone(t *testing.T) {
	quietly(t, func(t *testing.T) {
		k := newKept(t, fake.New(), smallSpec)
		k.apt = true
		k.h.Break("haproxy")
		pause, log := k.next(cause{seen: []string{"/var/lib/dpkg/status"}})
		if log != nil || pause > 2*time.Second || len(k.effects()) > 0 {
			t.Fatalf("pause %v, log %q, effects %q", pause, log, k.h.Log)
		}
		k.apt = false
		if _, log = k.next(cause{}); len(log) == 0 || !strings.Contains(log[0], "seen at /var/lib/dpkg/status") {
			t.Errorf("after it: %q", log)
		}
		k.apt = true
		k.h.Break("haproxy")
		for began := time.Now(); len(k.effects()) == 0 && time.Since(began) < time.Hour; time.Sleep(pause) {
			pause, _ = k.next(cause{})
		}
		if len(k.effects()) == 0 {
			t.Error("an installation without an end holds the agent for ever")
		}
	})
}

// restarting is a host on which an administrator restarts HAProxy.
type restarting struct{ Lockable }

func (r restarting) Unit(ctx context.Context, name string) (host.Unit, error) {
	unit, err := r.Lockable.Unit(ctx, name)
	if name == host.HAProxyUnit {
		unit.ActiveState = "deactivating"
	}
	return unit, err
}

// TestLoopLeavesRestartsAlone: the agent repairs nothing during an administrator's restart of a unit, however long ago an
// earlier one was.
func TestLoopLeavesRestartsAlone(t *testing.T) {
	quietly(t, func(t *testing.T) {
		k := newKept(t, fake.New(), smallSpec)
		idle := k.host
		for range 3 {
			k.host = restarting{idle}
			for range 3 {
				pause, log := k.next(cause{seen: []string{host.HAProxyUnit}})
				if log != nil || pause > time.Second || len(k.effects()) > 0 {
					t.Errorf("pause %v, log %q, effects %q", pause, log, k.effects())
				}
				time.Sleep(pause)
			}
			k.host = idle
			k.next(cause{})
			time.Sleep(time.Hour)
		}
	})
}

// TestLoopRests: a failed run is not repeated because of its own changes, and the pauses grow.
func TestLoopRests(t *testing.T) {
	quietly(t, func(t *testing.T) {
		h := fake.New()
		k := newKept(t, h, smallSpec)
		h.FailMethod("Packages", errors.New("cannot ask dpkg: it does not answer"))
		pause, log := k.next(cause{})
		if len(log) != 1 || pause > 10*time.Second {
			t.Fatalf("pause %v, log %q", pause, log)
		}
		if left, log := k.next(cause{seen: []string{"haproxy.service"}}); left <= 0 || left > pause || log != nil {
			t.Errorf("tried at once: %v %q", left, log)
		}
		for range 4 {
			time.Sleep(pause)
			longer, log := k.next(cause{})
			if longer <= pause || log != nil {
				t.Errorf("after a pause of %v one of %v, log %q", pause, longer, log)
			}
			pause = longer
		}
		h.Heal()
		if pause, _ = k.next(cause{asked: true}); pause != time.Minute {
			t.Errorf("healed: pause %v", pause)
		}
	})
}

// TestLoopShowsAFailedLook: while the agent cannot look at the host, the status does not say that the host is in sync, whether
// the spec file is good or refused.
func TestLoopShowsAFailedLook(t *testing.T) {
	for name, file := range map[string]string{"the spec is good": smallSpec, "the spec is refused": "kind: wrong\n"} {
		t.Run(name, func(t *testing.T) {
			quietly(t, func(t *testing.T) {
				k := newKept(t, fake.New(), smallSpec)
				inSync := func() status.Condition { s := k.status(); return s.Condition("InSync") }
				k.edit(file)
				before, valid := inSync(), k.valid()
				k.h.FailMethod("Packages", errors.New("cannot ask dpkg: it does not answer"))
				k.next(cause{})
				if c := inSync(); c.Status != "Unknown" || !strings.Contains(c.Message, "does not answer") || k.valid() != valid {
					t.Errorf("it cannot look, and the status says %+v, SpecValid %q", c, k.valid())
				}
				if last := k.status().LastReconcile; last.Result != status.Failed && file == smallSpec || !strings.Contains(last.Error, "does not answer") {
					t.Errorf("the last run: %+v", last)
				}
				k.h.Heal()
				time.Sleep(time.Minute)
				k.next(cause{})
				if c := inSync(); c.Status != before.Status || k.valid() != valid || strings.Contains(k.status().LastReconcile.Error, "does not answer") {
					t.Errorf("after the repair: %+v, was %+v, SpecValid %q, %+v", c, before, k.valid(), k.status().LastReconcile)
				}
			})
		})
	}
}

// TestLoopWaitsForTheEndOfAnEdit: a regular look that falls into an edit does not read half a spec.
func TestLoopWaitsForTheEndOfAnEdit(t *testing.T) {
	quietly(t, func(t *testing.T) {
		k := newKept(t, fake.New(), smallSpec)
		time.Sleep(time.Minute)
		began, seen := time.Now(), newInbox(specPath)
		seen.complete = func() bool { return time.Since(began) >= 150*time.Millisecond }
		seen.put(specPath)
		<-seen.bell // select has taken the timer, which is due too
		why := k.wait(t.Context(), 0, seen, nil)
		if took := time.Since(began); took < 150*time.Millisecond || took > time.Second || !why.edited(specPath) {
			t.Errorf("read after %v: %+v", took, why)
		}
	})
}

// TestLoopDoesNotGrow: thousands of edits (10,000 with RLB_REQUIRE) leak no goroutines, open files or memory.
func TestLoopDoesNotGrow(t *testing.T) {
	edits := 1000
	if os.Getenv("RLB_REQUIRE") == "1" {
		edits = 10_000
	}
	quietly(t, func(t *testing.T) {
		k := newKept(t, fake.New(), smallSpec)
		edit := func(n int) { k.edit(fmt.Sprintf("%s# %d\n", smallSpec, n)) }
		measure := func() (goroutines, files int, heap uint64) {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			fds, err := os.ReadDir("/proc/self/fd")
			if err != nil {
				t.Fatal(err)
			}
			return runtime.NumGoroutine(), len(fds), m.HeapAlloc
		}
		for n := range 100 {
			edit(n)
		}
		goroutines, files, heap := measure()
		for n := range edits {
			edit(n)
		}
		g, f, m := measure()
		t.Logf("%d edits: goroutines %d to %d, open files %d to %d, heap %d to %d KiB", edits, goroutines, g, files, f, heap>>10, m>>10)
		if g > goroutines || f > files || m > heap+256<<10 {
			t.Error("it grows")
		}
	})
}

// TestLoopEndsAbandonedDrain: an idle agent ends the drain of an upgrade that was killed, and no other drain.
func TestLoopEndsAbandonedDrain(t *testing.T) {
	for upgrade, want := range map[bool]string{true: "0\n", false: "1\n"} {
		quietly(t, func(t *testing.T) {
			k := newKept(t, fake.New(), smallSpec)
			if err := (state.DrainRecord{Upgrade: upgrade}).Write(t.Context(), k.h); err != nil {
				t.Fatal(err)
			}
			k.h.Put(render.DrainFile, "1\n", 0o644)
			_, log := k.next(cause{})
			if got := k.h.Text(render.DrainFile); got != want || len(log) > 0 != upgrade {
				t.Errorf("upgrade %t: the tracked file says %q, log %q", upgrade, got, log)
			}
		})
	}
}

// TestLoopEndsAKilledTrial: a trial whose run was killed between two steps ends at once, not at its deadline. One that is in
// force goes on.
func TestLoopEndsAKilledTrial(t *testing.T) {
	tried := strings.Replace(smallSpec, "port: 9000", "port: 9001", 1)
	for name, kill := range map[string]bool{"killed": true, "in force": false} {
		quietly(t, func(t *testing.T) {
			k := newKept(t, fake.New(), smallSpec)
			doc, err := api.Parse("/root/new.yaml", []byte(tried))
			if err != nil {
				t.Fatal(err)
			}
			r := &reconcile.Reconciler{Host: k.h, Log: k.Log, Step: func(s plan.Step) {
				if kill && strings.HasPrefix(s.String(), "reload haproxy") {
					panic(fake.Stopped{Effect: s.String()})
				}
			}}
			killed := fake.Killed(func() {
				trial := state.Trial{File: "/root/new.yaml", Spec: specPath, Since: time.Now(), Deadline: time.Now().Add(24 * time.Hour)}
				_, err = r.BeginTrial(t.Context(), doc, trial, "/usr/bin/rlb-agent try --end")
			})
			if killed != kill || err != nil {
				t.Fatal(name, killed, err)
			}
			_, log := k.next(cause{seen: []string{"/etc/haproxy/haproxy.cfg"}})
			trial, err := state.RunningTrial(t.Context(), k.h)
			if err != nil || (trial == nil) != killed || strings.Contains(k.h.Text("/etc/haproxy/haproxy.cfg"), "9001") == killed {
				t.Errorf("%s: running %v, %v, log %q", name, trial, err, log)
			}
		})
	}
}

// TestLoopEndsATrialWhoseEndFailed: if the run that ends a trial fails, the daemon goes back, also if it only reports drift and
// the spec file is refused.
func TestLoopEndsATrialWhoseEndFailed(t *testing.T) {
	for name, file := range map[string]string{"good": "", "refused": "kind: wrong\n"} {
		quietly(t, func(t *testing.T) {
			spec := smallSpec + "reconcile: {drift: report}\n"
			k := newKept(t, fake.New(), spec)
			parse := func(text string) *api.Document {
				doc, err := api.Parse("/root/new.yaml", []byte(text))
				if err != nil {
					t.Fatal(err)
				}
				return doc
			}
			r := &reconcile.Reconciler{Host: k.h, Log: k.Log}
			trial := state.Trial{File: "/root/new.yaml", Spec: specPath, Since: time.Now(), Deadline: time.Now().Add(24 * time.Hour)}
			if _, err := r.BeginTrial(t.Context(), parse(strings.Replace(spec, "port: 9000", "port: 9001", 1)), trial, "/usr/bin/rlb-agent try --end"); err != nil {
				t.Fatal(err)
			}
			if pause, _ := k.next(cause{}); pause > time.Minute {
				t.Errorf("%s: it looks after %v", name, pause)
			}
			k.h.FailMethod("Packages", errors.New("cannot ask dpkg: it does not answer"))
			if _, _, err := r.LeaveTrial(t.Context(), parse(spec)); err == nil {
				t.Error("it works")
			}
			k.h.Heal()
			if file != "" {
				k.spec = file
			}
			_, log := k.next(cause{})
			trialNow, err := state.RunningTrial(t.Context(), k.h)
			if err != nil || trialNow != nil || !strings.Contains(k.h.Text("/etc/haproxy/haproxy.cfg"), ":9000") {
				t.Errorf("%s: running %v, %v, log %q", name, trialNow, err, log)
			}
		})
	}
}

// TestLoopRestoresTheKeptSpec: if the kept spec in force is lost or damaged, it is written again from the spec file.
func TestLoopRestoresTheKeptSpec(t *testing.T) {
	for name, damage := range map[string]func(h *fake.Host){
		"lost":    func(h *fake.Host) { _ = h.RemoveTree(t.Context(), state.GenerationsDir) },
		"damaged": func(h *fake.Host) { h.Put(state.GenerationsDir+"/1/spec.yaml", "", 0o600) },
	} {
		quietly(t, func(t *testing.T) {
			k := newKept(t, fake.New(), smallSpec)
			damage(k.h)
			if in, err := state.ReadInForce(t.Context(), k.h); err == nil {
				t.Fatalf("%s: in force %v", name, in)
			}
			k.next(cause{})
			if in, err := state.ReadInForce(t.Context(), k.h); err != nil || in == nil {
				t.Errorf("%s: in force %v, %v", name, in, err)
			}
			if k.next(cause{}); len(k.effects()) > 0 {
				t.Errorf("%s: again: %q", name, k.effects())
			}
		})
	}
}
