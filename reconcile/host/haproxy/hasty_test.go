package haproxy

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/patience"
)

// TestProbeHastily: only what is silent altogether hangs. What is busy, or answers on one socket, gets the usual patience.
func TestProbeHastily(t *testing.T) {
	answered, silence := func(err error) []error { return []error{err} }, []error(nil)
	said := func(answers []error) <-chan error { // it belongs to the bubble that makes it
		c := make(chan error, 1)
		for _, err := range answers {
			c <- err
		}
		return c
	}
	for name, test := range map[string]struct {
		health, stats []error
		idle          bool
		want          host.HAProxyState
		took          time.Duration
	}{
		"serves":           {answered(nil), silence, false, host.HAProxyAnswers, 0},
		"hangs":            {silence, silence, true, host.HAProxyHung, patience.Hasty},
		"busy":             {silence, silence, false, "", patience.Hasty},
		"full":             {silence, answered(nil), true, "", patience.Hasty},
		"cuts connections": {answered(context.Canceled), silence, true, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				got := judgeHastily(t.Context(), said(test.health), said(test.stats), func() bool { return test.idle })
				if took := time.Since(began); got != test.want || took != test.took {
					t.Errorf("%q after %v", got, took)
				}
			})
		})
	}
}
