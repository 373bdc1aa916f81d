package reconcile_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/render"
)

// checkCounter counts how often the real programs are asked.
type checkCounter struct {
	*fake.Host
	checks atomic.Int64
}

func (c *checkCounter) Check(ctx context.Context, files []render.File) ([]string, error) {
	c.checks.Add(1)
	return c.Host.Check(ctx, files)
}

// HAProxy checks its new file once, however early, and a file that stays the same not at all. What it refuses is refused.
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
		{"keepalived.conf too", spec + "proxy: {maxConnections: 6000}\nvrrp: {priority: 100}\n", 2}, // of one file each
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

// lateFirewall tells of the firewall once it was asked which servers HAProxy has.
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
	select {
	case <-l.asked:
	case <-time.After(10 * time.Second):
		return host.Firewall{}, errors.New("nobody looks at what serves")
	}
	return l.Host.Firewall(ctx, family)
}

// What serves before an edit is found while the host is looked at, not after it.
func TestBaselineIsTakenEarly(t *testing.T) {
	h := &lateFirewall{Host: installed(t, parse(t, spec)), asked: make(chan struct{})}
	if _, err := (&reconcile.Reconciler{Host: h, Log: discard}).Once(t.Context(), parse(t, spec+"proxy: {maxConnections: 5000}\n")); err != nil {
		t.Error(err)
	}
}

// unitCounter counts how often each unit is asked for.
type unitCounter struct {
	*fake.Host
	asked map[string]int
}

func (c *unitCounter) Unit(ctx context.Context, name string) (host.Unit, error) {
	c.asked[name]++
	return c.Host.Unit(ctx, name)
}

func TestLookAsksForAUnitOnce(t *testing.T) {
	doc := parse(t, spec)
	h := &unitCounter{Host: installed(t, doc), asked: map[string]int{}}
	if _, err := (plan.FactFinder{Observer: h}).Look(t.Context(), &doc.Spec); err != nil {
		t.Fatal(err)
	}
	if h.asked[host.HAProxyUnit] == 0 {
		t.Error("haproxy's unit is not looked at")
	}
	for name, n := range h.asked {
		if n > 1 {
			t.Errorf("%s is asked for %d times in one look", name, n)
		}
	}
}
