package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// A trial is one fault on a pair.
type trial struct {
	*bench
	active, standby *lab.Host // before the fault
}

// A sample is the result of one trial. Times are in milliseconds.
type sample struct {
	Gap     float64        `json:"gap"`               // longest time between the starts of two consecutive good connections
	Endless bool           `json:"endless,omitempty"` // the client was not served again while it was watched (for Gap)
	Total   int            `json:"total"`             // connections
	Failed  int            `json:"failed"`            // of them
	Errors  map[string]int `json:"errors,omitempty"`  // by kind
	Cut     int            `json:"cut,omitempty"`     // long idle connections that were cut
	Two     float64        `json:"twoHolders"`        // how long both hosts had the virtual IP
	Split   bool           `json:"split,omitempty"`   // both still had it at the end
	Holders []string       `json:"holders"`           // the holders of the virtual IP with the start of each period, as "12 ms: lb1 lb2"
	Late    float64        `json:"late"`              // the longest delay of the client itself
	Rate    float64        `json:"rate"`              // connections made per second

	Disturbed bool `json:"-"` // by the machine itself
}

func (s sample) String() string {
	text := fmt.Sprintf("%.1f ms, %d of %d failed at %.0f/s", s.Gap, s.Failed, s.Total, s.Rate)
	if s.Failed > 0 {
		text += fmt.Sprintf(" %v", s.Errors)
	}
	if s.Endless {
		text = "no end after " + text
	}
	if s.Two > 0 {
		text += fmt.Sprintf(", two holders for %.0f ms", s.Two)
	}
	if s.Split {
		text += " and longer"
	}
	if len(s.Holders) > 1 {
		text += "; " + strings.Join(s.Holders, ", ")
	}
	if s.Cut > 0 {
		text += fmt.Sprintf(", %d quiet ones cut", s.Cut)
	}
	return text
}

// try makes the fault once and restores the pair.
func (p *bench) try(ctx context.Context, f fault) (sample, error) {
	t := &trial{bench: p}
	t.active, t.standby = p.roles()
	one, err := t.run(ctx, f)
	if err != nil {
		return one, err
	}
	if err := p.restore(ctx); err != nil {
		return one, err
	}
	return one, p.settle(ctx)
}

func (t *trial) run(ctx context.Context, f fault) (one sample, err error) {
	quiet, err := t.quiet(ctx, f.long)
	defer func() {
		for _, conn := range quiet {
			conn.Close()
		}
	}()
	if err != nil {
		return one, err
	}
	if f.before != nil {
		if err := f.before(ctx, t); err != nil {
			return one, err
		}
	}
	target, opts := pair.Service, lab.ProbeOptions{}
	if f.loaded {
		target, opts = light, lab.ProbeOptions{Interval: time.Second / time.Duration(t.rate), Timeout: 3 * time.Second, Name: true, AtOnce: 300}
	}
	probe, err := t.Client.Probe(target, opts)
	if err != nil {
		return one, err
	}
	served := func(since time.Time) func() bool {
		return func() bool { return probe.Streak(since) >= 20 }
	}
	if err := lab.Until(ctx, 20*time.Second, served(time.Time{})); err != nil {
		return one, errors.Join(err, fmt.Errorf("no service before the fault: %v", probe.Stop().Errors))
	}
	watched := pair.Watch(t.hosts...)
	start := time.Now()
	err = f.inject(ctx, t)
	if err == nil && f.over != nil {
		_ = lab.Until(ctx, bound-time.Since(start), func() bool { return f.over(t) })
	}
	if err == nil {
		_ = lab.Until(ctx, bound, func() bool { return time.Since(start) >= f.watch })
		// if the fault has no end, a client without service has been watched long enough by now
		_ = lab.Until(ctx, max(bound-time.Since(start), time.Second), served(time.Now()))
	}
	report := probe.Stop()
	seen := watched()
	one.Two, one.Split = millis(seen.Total(2)), len(seen[len(seen)-1].Holders) == 2
	for _, period := range seen {
		one.Holders = append(one.Holders, period.String())
	}
	one.Gap, one.Endless = millis(report.Gap), false
	if report.Open > time.Second {
		one.Gap, one.Endless = millis(report.Open), true
	}
	one.Total, one.Failed, one.Late = report.Total, report.Failed, millis(report.Late)
	one.Errors, one.Disturbed = report.Errors, report.Disturbed()
	one.Rate = float64(report.Total) / report.Took.Seconds()
	for _, conn := range quiet {
		conn.Poke()
	}
	if len(quiet) > 0 {
		time.Sleep(300 * time.Millisecond) // time for an answer that the other end is gone
	}
	for _, conn := range quiet {
		if _, cut, _ := conn.Cut(); cut {
			one.Cut++
		}
	}
	return one, errors.Join(err, ctx.Err())
}

// quiet opens long idle connections.
func (t *trial) quiet(ctx context.Context, n int) (conns []*lab.LongConn, err error) {
	for range n {
		conn, err := t.Client.LongConn(ctx, pair.Service)
		if err != nil {
			return conns, err
		}
		conns = append(conns, conn)
	}
	return conns, nil
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
