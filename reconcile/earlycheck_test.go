package reconcile_test

import (
	"context"
	"sync/atomic"
	"testing"

	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host/fake"
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
