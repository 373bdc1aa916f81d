package haproxy

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/patience"
)

// asking is how long the test's check for an idle HAProxy takes.
const asking = 30 * time.Millisecond

// TestProbeHastily: only a HAProxy that is idle and silent on both sockets is hung after a short time. Otherwise the usual
// limits apply.
func TestProbeHastily(t *testing.T) {
	type answer struct {
		at  time.Duration
		err error
	}
	answered, silence := func(err error) *answer { return &answer{err: err} }, (*answer)(nil)
	whileIdleIsAsked := &answer{at: patience.Hasty + asking/2}
	said := func(a *answer) <-chan error { // a channel belongs to the synctest bubble that makes it
		c := make(chan error, 1)
		if a != nil {
			time.AfterFunc(a.at, func() { c <- a.err })
		}
		return c
	}
	for name, test := range map[string]struct {
		health, stats *answer
		idle          bool
		want          host.HAProxyState
		took          time.Duration
	}{
		"serves":           {answered(nil), silence, false, host.HAProxyAnswers, 0},
		"hangs":            {silence, silence, true, host.HAProxyHung, patience.Hasty + asking + lastLook},
		"busy":             {silence, silence, false, "", patience.Hasty + asking},
		"just not hung":    {whileIdleIsAsked, silence, true, host.HAProxyAnswers, patience.Hasty + asking},
		"just full":        {silence, whileIdleIsAsked, true, "", patience.Hasty + asking + lastLook},
		"full":             {silence, answered(nil), true, "", patience.Hasty},
		"cuts connections": {answered(context.Canceled), silence, true, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				got := judgeHastily(t.Context(), said(test.health), said(test.stats), func() bool { time.Sleep(asking); return test.idle })
				if took := time.Since(began); got != test.want || took != test.took {
					t.Errorf("%q after %v", got, took)
				}
			})
		})
	}
}
