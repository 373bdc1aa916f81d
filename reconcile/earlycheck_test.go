package reconcile_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render"
)

// checkCounter counts the calls of Check.
type checkCounter struct {
	*fake.Host
	checks atomic.Int64
}

func (c *checkCounter) Check(ctx context.Context, files []render.File) ([]string, error) {
	c.checks.Add(1)
	return c.Host.Check(ctx, files)
}

// TestEarlyCheck: HAProxy checks its new file once, even if it checks early, and checks an unchanged file not at all. A
// file that it refuses is refused by the run.
func TestEarlyCheck(t *testing.T) {
	h := &checkCounter{Host: installed(t, parse(t, spec))}
	once := func(text string) error {
		h.checks.Store(0)
		_, err := (&reconcile.Reconciler{Host: h, Log: discard}).Once(t.Context(), parse(t, text))
		return err
	}
	for _, test := range []struct {
		name, spec string
		checks     int64
	}{
		{"nothing changed", spec, 0},
		{"haproxy.cfg changed", spec + "proxy: {maxConnections: 5000}\n", 1},
		{"keepalived.conf too", spec + "proxy: {maxConnections: 6000}\nvrrp: {priority: 100}\n", 2}, // one file each
	} {
		if err := once(test.spec); err != nil || h.checks.Load() != test.checks {
			t.Errorf("%s: %v, checked %d times, want %d", test.name, err, h.checks.Load(), test.checks)
		}
	}
	before := h.Text(render.DefaultHAProxyConfig)
	h.Forbidden["haproxy"] = "maxconn 7000"
	if err := once(spec + "proxy: {maxConnections: 7000}\n"); err == nil || h.Text(render.DefaultHAProxyConfig) != before {
		t.Errorf("what haproxy refuses goes live: %v", err)
	}
}

// lateFirewall answers for the firewall only after HAProxy was asked for its servers.
type lateFirewall struct {
	*fake.Host
	asked chan struct{}
	once  sync.Once
}

func (l *lateFirewall) Servers(ctx context.Context) ([]host.ServerState, error) {
	l.once.Do(func() { close(l.asked) })
	return l.Host.Servers(ctx)
}

func (l *lateFirewall) Firewall(ctx context.Context, family api.Family) (host.Firewall, error) {
	if err := await(l.asked, "nobody looks at what serves"); err != nil {
		return host.Firewall{}, err
	}
	return l.Host.Firewall(ctx, family)
}

// TestBaselineIsTakenEarly: the baseline is taken during the look at the host, not after it.
func TestBaselineIsTakenEarly(t *testing.T) {
	h := &lateFirewall{Host: installed(t, parse(t, spec)), asked: make(chan struct{})}
	if _, err := (&reconcile.Reconciler{Host: h, Log: discard}).Once(t.Context(), parse(t, spec+"proxy: {maxConnections: 5000}\n")); err != nil {
		t.Error(err)
	}
}

// unitCounter counts the questions for each unit. It answers only after all wanted units were asked for.
type unitCounter struct {
	*fake.Host
	mutex  sync.Mutex
	asked  map[string]int
	wanted int
	all    chan struct{} // closed when all wanted units were asked for
}

func (c *unitCounter) Unit(ctx context.Context, name string) (host.Unit, error) {
	c.mutex.Lock()
	c.asked[name]++
	if c.asked[name] == 1 && len(c.asked) == c.wanted {
		close(c.all)
	}
	c.mutex.Unlock()
	if err := await(c.all, "the other units are not asked for"); err != nil {
		return host.Unit{}, err
	}
	return c.Host.Unit(ctx, name)
}

func await(event <-chan struct{}, otherwise string) error {
	select {
	case <-event:
		return nil
	case <-time.After(10 * time.Second):
		return errors.New(otherwise)
	}
}

// TestLookAsksForAUnitOnce: systemd takes some milliseconds for each unit, so each unit is asked for once, and all at the
// same time.
func TestLookAsksForAUnitOnce(t *testing.T) {
	doc := parse(t, spec)
	h := &unitCounter{Host: installed(t, doc), asked: map[string]int{}, wanted: 4, all: make(chan struct{})}
	if _, err := (plan.FactFinder{Observer: h}).Look(t.Context(), &doc.Spec); err != nil {
		t.Fatal(err)
	}
	for _, name := range append([]string{host.HAProxyUnit, host.KeepalivedUnit}, render.OwnUnits...) {
		if n := h.asked[name]; n != 1 {
			t.Errorf("%s is asked for %d times in one look", name, n)
		}
	}
}

// lateHandover reports the hand-over only after HAProxy was asked for its servers.
type lateHandover struct {
	*fake.Host
	asked chan struct{}
}

func (l *lateHandover) RunningServers(ctx context.Context) ([]host.RunningServer, error) {
	close(l.asked)
	return l.Host.RunningServers(ctx)
}

func (l *lateHandover) Handover(ctx context.Context, want render.Handover) (render.Handover, error) {
	if err := await(l.asked, "HAProxy is not asked for its servers"); err != nil {
		return render.Handover{}, err
	}
	return l.Host.Handover(ctx, want)
}

// TestLookWaitsForHandoverLast: nft is the slowest program of a look, so all others are asked meanwhile.
func TestLookWaitsForHandoverLast(t *testing.T) {
	doc := parse(t, spec)
	h := &lateHandover{Host: installed(t, doc), asked: make(chan struct{})}
	if _, err := (plan.FactFinder{Observer: h}).Look(t.Context(), &doc.Spec); err != nil {
		t.Error(err)
	}
}

// fileCounter counts how often each file is read.
type fileCounter struct {
	*fake.Host
	mutex sync.Mutex
	read  map[string]int
}

func (c *fileCounter) File(ctx context.Context, path string) (host.File, error) {
	c.mutex.Lock()
	c.read[path]++
	c.mutex.Unlock()
	return c.Host.File(ctx, path)
}

// TestRunReadsAFileOnce: a run with nothing to do reads each file that it compares once. It does not read the kept spec,
// because that is the spec in force.
func TestRunReadsAFileOnce(t *testing.T) {
	doc := parse(t, spec)
	h := &fileCounter{Host: installed(t, doc), read: map[string]int{}}
	if _, err := (&reconcile.Reconciler{Host: h, Log: discard}).Once(t.Context(), doc); err != nil {
		t.Fatal(err)
	}
	if h.read[render.DefaultKeepalivedConfig] != 1 {
		t.Errorf("keepalived.conf is read %d times", h.read[render.DefaultKeepalivedConfig])
	}
	for path, n := range h.read {
		early := path == render.DefaultHAProxyConfig && n == 2 // the second read decides whether to check early
		if n > 1 && !early && strings.HasPrefix(path, "/etc/") || strings.HasPrefix(path, state.GenerationsDir) {
			t.Errorf("%s is read %d times", path, n)
		}
	}
}
