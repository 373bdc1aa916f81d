package lab

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ProbeOptions tell how to probe a target.
type ProbeOptions struct {
	Interval time.Duration // between the starts of two probes; 0 means 5 ms
	Timeout  time.Duration // a good probe is answered within it; 0 means 100 ms
	TCP      bool          // only connect, without a TLS handshake and a request for the server's name
	Name     bool          // only connect and read the name, from a service that leads to NamePort
	// HalfOpen is how long the third packet of a connection is delayed, after Client.HoldACKs. The timeout begins after
	// it.
	HalfOpen time.Duration
	// AtOnce limits how many probes wait for their answer at once; 0: as many as the interval needs. At the limit the next
	// probes start late: the load adapts to a machine that cannot keep up, instead of overloading it.
	AtOnce int
}

// A Probe sends requests to a target at an interval. Each uses a new connection and is judged by itself; the next one
// starts on time even if earlier ones still wait.
type Probe struct {
	client *Client
	target netip.AddrPort
	opts   ProbeOptions
	stop   chan struct{}
	once   sync.Once
	ended  sync.WaitGroup

	mu    sync.Mutex
	tries []try
}

type try struct {
	start  time.Time
	late   time.Duration // behind the planned time
	done   bool
	server string
	err    error
}

// Report summarizes a probe.
type Report struct {
	Total  int
	Failed int
	Took   time.Duration // from the start of the first probe to that of the last
	// Gap is the longest time between the starts of two consecutive good probes; it began at GapStart. Without any fault
	// it is about the interval.
	Gap      time.Duration
	GapStart time.Time
	// Open is the time from the start of the last good probe to the start of the last probe. If it exceeds the interval,
	// the fault was not over at the end and is not in Gap.
	Open time.Duration
	// Late is the longest delay of a probe's start: this machine may have caused so much of Gap.
	Late     time.Duration
	ByServer map[string]int // good probes by the name of the server
	Errors   map[string]int // failed probes by the kind of failure
	FirstErr error
}

// Disturbed reports that this machine itself stalled so long that the report says little about the target: for more
// than 20 ms and for more than a quarter of the longest time without a good probe.
func (r Report) Disturbed() bool {
	return r.Late > 20*time.Millisecond && r.Late > max(r.Gap, r.Open)/4
}

// Probe starts to probe target, such as 198.51.100.100:9000.
func (c *Client) Probe(target string, opts ProbeOptions) (*Probe, error) {
	at, err := parseTarget(target)
	if err != nil {
		return nil, err
	}
	if opts.Interval <= 0 {
		opts.Interval = 5 * time.Millisecond
	}
	if opts.Timeout <= 0 {
		opts.Timeout = 100 * time.Millisecond
	}
	p := &Probe{client: c, target: at, opts: opts, stop: make(chan struct{})}
	p.ended.Go(p.schedule)
	return p, nil
}

// schedule starts probes at fixed times after the first one, so that the average interval is right.
func (p *Probe) schedule() {
	// So many can wait at once if all time out; more would mean that this machine cannot keep up.
	atOnce := int((p.opts.HalfOpen+p.opts.Timeout)/p.opts.Interval) + 8
	if p.opts.AtOnce > 0 {
		atOnce = p.opts.AtOnce
	}
	slots := make(chan struct{}, atOnce)
	timer := time.NewTimer(0)
	defer timer.Stop()
	begin := time.Now()
	for i := 0; ; i++ {
		plan := begin.Add(time.Duration(i) * p.opts.Interval)
		timer.Reset(time.Until(plan))
		select {
		case <-timer.C:
		case <-p.stop:
			return
		}
		slots <- struct{}{}
		start := time.Now()
		p.mu.Lock()
		p.tries = append(p.tries, try{start: start, late: start.Sub(plan)})
		p.mu.Unlock()
		p.ended.Go(func() {
			server, err := p.attempt(start)
			p.mu.Lock()
			p.tries[i].done, p.tries[i].server, p.tries[i].err = true, server, err
			p.mu.Unlock()
			<-slots
		})
	}
}

func (p *Probe) attempt(start time.Time) (server string, err error) {
	deadline := start.Add(p.opts.HalfOpen + p.opts.Timeout)
	dial := p.client.dial
	if p.opts.HalfOpen > 0 {
		dial = p.client.dialHalfOpen(p.opts.HalfOpen)
	}
	conn, err := dial(p.target, deadline)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	switch {
	case p.opts.TCP:
		return "tcp", nil
	case p.opts.Name:
		return readName(conn)
	}
	return ask(conn, "/")
}

// readName reads what a control plane sends on NamePort, to its orderly end.
func readName(conn *net.TCPConn) (string, error) {
	name, err := io.ReadAll(io.LimitReader(conn, 64))
	if err == nil && len(name) == 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return "", fmt.Errorf("cannot read the name: %w", err)
	}
	return strings.TrimSpace(string(name)), nil
}

// Streak counts the good probes since the last failed one, of those that began after since.
func (p *Probe) Streak(since time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	good := 0
	for _, t := range slices.Backward(p.tries) {
		switch {
		case !t.done:
		case t.err != nil || !t.start.After(since):
			return good
		default:
			good++
		}
	}
	return good
}

// Stop ends the probe, waits for those in progress, and returns the report.
func (p *Probe) Stop() Report {
	p.once.Do(func() { close(p.stop) })
	p.ended.Wait()
	return p.Report()
}

// Report summarizes the results so far.
func (p *Probe) Report() Report {
	p.mu.Lock()
	tries := slices.Clone(p.tries)
	p.mu.Unlock()
	return sum(tries)
}

func sum(tries []try) Report {
	r := Report{ByServer: map[string]int{}, Errors: map[string]int{}}
	var lastGood time.Time
	for _, t := range tries {
		if !t.done {
			continue
		}
		r.Total++
		r.Took = t.start.Sub(tries[0].start)
		r.Late = max(r.Late, t.late)
		if t.err != nil {
			r.Failed++
			r.Errors[kindOf(t.err)]++
			if r.FirstErr == nil {
				r.FirstErr = t.err
			}
			if !lastGood.IsZero() {
				r.Open = t.start.Sub(lastGood)
			}
			continue
		}
		r.ByServer[t.server]++
		if gap := t.start.Sub(lastGood); !lastGood.IsZero() && gap > r.Gap {
			r.Gap, r.GapStart = gap, lastGood
		}
		lastGood, r.Open = t.start, 0
	}
	return r
}

// kindOf names an error without the details that differ each time.
func kindOf(err error) string {
	var errno syscall.Errno
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	case errors.As(err, &errno):
		return errno.Error()
	}
	return err.Error()
}
