package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// A sample is the cost of one move.
type sample struct {
	New, Half count
	Quiet     int     `json:"quiet"`   // long idle connections
	Told      int     `json:"told"`    // of them: their end was reported within told
	Stalled   int     `json:"stalled"` // of them: their end was not reported, and they are dead
	Gap       float64 `json:"gap"`     // ms, longest time between the starts of two consecutive good new connections
	Late      float64 `json:"late"`    // ms, the longest delay of the client itself
}

// count counts connections of a kind.
type count struct {
	Total   int `json:"total"`
	Failed  int `json:"failed"`  // of them: Reset and Stalled
	Reset   int `json:"reset"`   // ended by the other side
	Stalled int `json:"stalled"` // no answer within a second
}

func countOf(r lab.Report) count {
	c := count{Total: r.Total, Failed: r.Failed, Stalled: r.Errors["timeout"]}
	c.Reset = c.Failed - c.Stalled
	return c
}

const (
	light  = pair.VIP + ":9001" // leads to NamePort of the control planes: connections that cost little
	told   = 3 * time.Second    // time in which a client that sends nothing must be notified of the end of its connection
	rested = 2 * time.Second    // pause after the move back
)

// measure moves the virtual IP back and forth.
func measure(ctx context.Context, stage *lab.Stage, s setup, o options) (samples []sample, err error) {
	hosts, err := s.boot(ctx, stage, o)
	if err != nil {
		return nil, err
	}
	if err := lab.Until(ctx, 30*time.Second, func() bool { // until the checks have found the servers
		_, err := stage.Client.Get(ctx, pair.Service)
		return err == nil
	}); err != nil {
		return nil, err
	}
	time.Sleep(rested)
	for len(samples) < o.n {
		one, err := move(ctx, stage, hosts, s, o)
		if err != nil {
			return samples, err
		}
		samples = append(samples, one)
		fmt.Fprintf(os.Stderr, "  %s: %d of %d new failed, %d of %d half-open, of %d quiet %d told, %d stalled; gap %.0f ms\n",
			s.name, one.New.Failed, one.New.Total, one.Half.Failed, one.Half.Total, one.Quiet, one.Told, one.Stalled, one.Gap)
	}
	return samples, nil
}

// move moves the virtual IP to the standby once.
func move(ctx context.Context, stage *lab.Stage, hosts []*lab.Host, s setup, o options) (one sample, err error) {
	active, standby, err := settled(ctx, hosts)
	if err != nil {
		return one, err
	}
	clients, err := pair.StartClients(ctx, stage.Client, pair.ClientOptions{
		Target: pair.Service, Light: light, Every: time.Second / time.Duration(o.rate), Half: time.Second / time.Duration(o.halfRate), Quiet: o.quiet,
	})
	if err != nil {
		return one, err
	}
	defer clients.End()
	began := time.Now()
	if _, err := active.Sh(ctx, s.move); err != nil {
		return one, err
	}
	if err := lab.Until(ctx, 10*time.Second, func() bool { return pair.Holds(standby) && !pair.Holds(active) }); err != nil {
		return one, fmt.Errorf("the virtual IP does not move: %w", err)
	}
	time.Sleep(500 * time.Millisecond)
	if err := clients.Served(ctx, 20, 10*time.Second); err != nil {
		return one, fmt.Errorf("nobody serves after the move: %w", err)
	}
	report, half := clients.Stop()
	time.Sleep(max(0, time.Until(began.Add(told))))
	one.New, one.Half, one.Quiet = countOf(report), countOf(half), o.quiet
	one.Gap, one.Late = millis(report.Gap), millis(report.Late)
	one.Told, one.Stalled = clients.Quiet()
	if _, err := active.Sh(ctx, s.back); err != nil {
		return one, err
	}
	time.Sleep(rested)
	return one, ctx.Err()
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
