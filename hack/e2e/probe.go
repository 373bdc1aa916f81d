package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// Probe measures the gap for clients during do, and for a moment after it. A connection that takes longer than 100 ms
// has failed.
func (w *World) Probe(after time.Duration, do func()) lab.Report {
	w.Helper()
	return w.probe(lab.ProbeOptions{Interval: 10 * time.Millisecond}, after, do)
}

// Losses is Probe for an operation that must not cost a connection: a connection may take a second, as on a busy
// machine.
func (w *World) Losses(after time.Duration, do func()) lab.Report {
	w.Helper()
	return w.probe(lab.ProbeOptions{Interval: 10 * time.Millisecond, Timeout: time.Second}, after, do)
}

func (w *World) probe(opts lab.ProbeOptions, after time.Duration, do func()) lab.Report {
	w.Helper()
	p, err := w.Client.Probe(pair.Service, opts)
	if err != nil {
		w.Fatal(err)
	}
	defer p.Stop() // also if do ends the test
	time.Sleep(200 * time.Millisecond)
	do()
	time.Sleep(after)
	report := p.Stop()
	w.Logf("probe: %d connections, %d failed, gap %v, open %v, itself late by %v, %v", report.Total, report.Failed, report.Gap, report.Open, report.Late, report.Errors)
	return report
}

// trials limits how often a measurement is repeated.
const trials = 3

// Judge fails the test if a measurement exceeds its limits. If the machine stalled meanwhile, the measurement proves
// nothing and is repeated, three times in all. measure returns the client's report, and an error if the report is too
// bad.
func (w *World) Judge(what string, measure func() (lab.Report, error)) {
	w.Helper()
	if err := judge(w.Logf, what, measure); err != nil {
		w.Error(err)
	}
}

func judge(log func(string, ...any), what string, measure func() (lab.Report, error)) error {
	for trial := 1; ; trial++ {
		report, err := measure()
		switch {
		case err == nil:
			return nil
		case !report.Disturbed() || errors.Is(err, errLost):
			return fmt.Errorf("%s: %w", what, err)
		case trial == trials:
			return fmt.Errorf("%s: %w; the machine stood still each time, now for %v", what, err, report.Late)
		}
		log("%s: measured again, the machine stood still for %v: %v", what, report.Late, err)
	}
}

// errLost: connections were refused, reset or closed, which a busy machine does not cause.
var errLost = errors.New("not by timeouts alone")

// Lossless returns an error for a report with a failed connection, or without any connection.
func Lossless(report lab.Report) error {
	if report.Failed > report.Errors["timeout"] {
		return fmt.Errorf("%d of %d connections failed, %w: %v", report.Failed, report.Total, errLost, report.Errors)
	}
	if report.Failed > 0 || report.Total == 0 {
		return fmt.Errorf("%d of %d connections failed: %v", report.Failed, report.Total, report.Errors)
	}
	return nil
}

// Within returns an error for a report with a longer gap, or with one that was not over at the end.
func Within(report lab.Report, gap time.Duration) error {
	if report.Gap > gap || report.Open > 500*time.Millisecond {
		return fmt.Errorf("gap %v, want at most %v; %v without a good connection at the end: %v", report.Gap, gap, report.Open, report.Errors)
	}
	return nil
}

// Steady sends 200 requests a second to the service until the returned function is called, which fails the test for
// every failed connection. What happens meanwhile takes too long to be repeated at once: hack/e2e/run repeats the test.
func (w *World) Steady(what string) (stop func() lab.Report) {
	w.Helper()
	end := w.StartProbe()
	return func() lab.Report {
		w.Helper()
		report := end()
		if err := Lossless(report); err != nil {
			w.Errorf("%s: %v (itself late by %v)", what, err, report.Late)
		}
		return report
	}
}

// StartProbe is Steady without a verdict.
func (w *World) StartProbe() (stop func() lab.Report) {
	w.Helper()
	p, err := w.Client.Probe(pair.Service, lab.ProbeOptions{Timeout: time.Second})
	if err != nil {
		w.Fatal(err)
	}
	return p.Stop
}

// Row logs a line of the table of faults: the fault, what clients saw, the agent's output, and the next run's.
func Row(t testing.TB, fault string, report lab.Report, said, next string) {
	t.Helper()
	seen := "no service then"
	if report.Total > 0 {
		seen = fmt.Sprintf("%d of %d failed", report.Failed, report.Total)
	}
	t.Logf("| %s | %s | %s | %s |", fault, seen, Brief(said), Brief(next))
}

// Brief returns one line of an output: the agent's error, else the last line.
func Brief(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for _, line := range lines {
		if text, ok := strings.CutPrefix(line, "rlb-agent: "); ok {
			return text
		}
	}
	return lines[len(lines)-1]
}

// HoldersDuring records which of two hosts holds the virtual IP during do.
func (w *World) HoldersDuring(a, b *Host, do func()) (seen pair.Holding) {
	w.Helper()
	return w.HoldersAmong([]*Host{a, b}, do)
}

// HoldersAmong is HoldersDuring for any number of hosts.
func (w *World) HoldersAmong(hosts []*Host, do func()) (seen pair.Holding) {
	w.Helper()
	stop := pair.Watch(Machines(hosts)...)
	defer func() { seen = stop() }() // also if do ends the test
	do()
	return seen
}
