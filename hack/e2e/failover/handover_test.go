package failover

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// A planned move of the virtual IP loses no new connection, also none whose third packet is late, in both directions and
// whatever moves it. What is open on the former holder ends in time: also a client that sends nothing is told.
func TestHandover(t *testing.T) {
	w := e2e.New(t)
	active, standby := w.Pair(e2e.Spec(pair.Nodes), lab.Trixie, lab.Bookworm)
	e2e.StartDaemon(active, standby)
	if err := w.Client.HoldACKs(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, move := range []struct{ name, do, back string }{
		{"drain", pair.Agent + " drain", pair.Agent + " undrain"},
		{"stop of keepalived", "systemctl stop keepalived", "systemctl start keepalived"},
		{"restart of haproxy", "systemctl restart haproxy", ""},
		{"drain back", pair.Agent + " drain", pair.Agent + " undrain"},
		{"stop of haproxy", "systemctl stop haproxy", "systemctl start haproxy"},
	} {
		quiet, err := w.Client.LongConn(t.Context(), pair.Service)
		if err != nil {
			t.Fatal(err)
		}
		defer quiet.Close()
		var moved time.Time
		if err := handedOver(w, func() { // not measured again on a busy machine: then it would have moved already
			active.Shell(move.do)
			w.Eventually("the other one holds it", 5*time.Second, func() bool { return standby.Active() && !active.Active() })
			moved = time.Now()
		}); err != nil {
			t.Errorf("%s: %v", move.name, err)
		}
		select {
		case <-quiet.Done():
			at, _, err := quiet.Cut()
			t.Logf("%s: a quiet client was told %v after the move was seen: %v", move.name, at.Sub(moved), err)
			if at.Sub(moved) > 3*time.Second {
				t.Errorf("%s: a quiet client is told late", move.name)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("%s: a quiet client is not told", move.name)
		}
		if move.back != "" {
			active.Shell(move.back)
		}
		time.Sleep(time.Second)
		active, standby = standby, active
	}
}

// handedOver probes with plain and with half-open connections while something is done.
func handedOver(w *e2e.World, do func()) error {
	var half lab.Report
	var halves sync.WaitGroup
	ctx, stop := context.WithCancel(w.Context())
	halves.Go(func() {
		p, err := w.Client.Probe(pair.Service, lab.ProbeOptions{Interval: 25 * time.Millisecond, Timeout: time.Second, HalfOpen: 300 * time.Millisecond})
		if err != nil {
			w.Error(err)
			return
		}
		<-ctx.Done()
		half = p.Stop()
	})
	report := w.Losses(500*time.Millisecond, do)
	stop()
	halves.Wait()
	w.Logf("half-open: %d, %d failed: %v", half.Total, half.Failed, half.Errors)
	if half.Failed > 0 || half.Total == 0 {
		return fmt.Errorf("%d of %d half-open connections failed: %v", half.Failed, half.Total, half.Errors)
	}
	return e2e.Lossless(report)
}
