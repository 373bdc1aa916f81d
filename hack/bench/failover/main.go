// Command failover measures what a client sees when something fails on the active host of a pair, with the original's
// configuration, with a keepalived tuned by hand and with the agent's: "make bench".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

type options struct {
	agent, unit string
	n           int
	faults      []string // empty: all
	profiles    []string
	interval    time.Duration
	rate        int
	json, svg   string
	from        []string // files of samples, instead of measuring
	strict      bool
}

func main() {
	var o options
	var faultNames, profiles, from string
	flag.StringVar(&o.agent, "agent", "bin/rlb-agent", "the agent's binary")
	flag.StringVar(&o.unit, "unit", "hack/systemd/rlb-agent.service", "the agent's systemd unit")
	flag.IntVar(&o.n, "n", 20, "how often each fault is made; those that nothing ends are made 3 times at most")
	flag.StringVar(&faultNames, "faults", "", "which faults, by commas; default all: "+strings.Join(names(), ","))
	flag.StringVar(&profiles, "profiles", strings.Join([]string{standard, byHand, classic}, ","), "which setups, by commas")
	flag.DurationVar(&o.interval, "interval", 50*time.Millisecond, "an advertisement interval that link-cut and crash are measured with too; 0 for none")
	flag.IntVar(&o.rate, "rate", 2000, "new connections a second for what is measured under load; less where the machine cannot")
	flag.StringVar(&o.json, "json", "", "a file that gets every sample")
	flag.StringVar(&o.svg, "svg", "", "a file that gets a picture of the distributions")
	flag.StringVar(&from, "from", "", "files that -json wrote, by commas: report them instead of measuring")
	flag.BoolVar(&o.strict, "strict", false, "exit with 1 if a bar is missed")
	flag.Parse()
	if faultNames != "" {
		o.faults = strings.Split(faultNames, ",")
	}
	if from != "" {
		o.from = strings.Split(from, ",")
	}
	o.profiles = strings.Split(profiles, ",")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	missed, err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "failover:", err)
		os.Exit(2)
	}
	if missed && o.strict {
		os.Exit(1)
	}
}

// run measures and reports; missed reports that a bar was missed.
func run(ctx context.Context, o options) (missed bool, err error) {
	all, err := readJSON(o.from)
	if err == nil && len(o.from) == 0 {
		all, err = measureAll(ctx, o)
	}
	if len(all) > 0 {
		missed = all.print(os.Stdout)
		if o.json != "" {
			err = errors.Join(err, all.writeJSON(o.json))
		}
		if o.svg != "" {
			err = errors.Join(err, os.WriteFile(o.svg, all.draw(), 0o644))
		}
	}
	return missed, err
}

// measureAll measures one setup after the other; with an error it returns the results so far.
func measureAll(ctx context.Context, o options) (all results, err error) {
	for _, name := range o.faults {
		if !slices.Contains(names(), name) {
			return nil, fmt.Errorf("cannot make fault %q: there are %s", name, strings.Join(names(), ", "))
		}
	}
	setups, err := setupsOf(o.profiles, o.interval)
	if err != nil {
		return nil, err
	}
	if err := lab.EnsureCaches(ctx, lab.Options{Log: progress}, lab.Trixie); err != nil {
		return nil, err
	}
	var errs []error
	for _, s := range setups {
		if len(o.faults) > 0 && !slices.ContainsFunc(o.faults, s.has) {
			continue
		}
		rows, err := measure(ctx, s, o)
		all = append(all, rows...)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.name, err))
		}
	}
	return all, errors.Join(errs...)
}

// progress prints slow operations on standard error.
func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, "  "+format+"\n", args...) }

// measure makes a pair, and makes every requested fault on it. If the pair does not recover from a fault, a new pair
// is made for the next one.
func measure(ctx context.Context, s setup, o options) (rows results, err error) {
	var p *bench
	var errs []error
	for _, f := range faults {
		if len(o.faults) > 0 && !slices.Contains(o.faults, f.name) || !s.has(f.name) {
			continue
		}
		if p == nil {
			if p, err = newBench(ctx, s, o); err != nil {
				return rows, errors.Join(append(errs, err)...)
			}
		}
		if why := p.lacks(ctx, f); why != "" {
			progress("%s, %s: left out, %s", s.name, f.title, why)
			continue
		}
		samples, err := p.repeat(ctx, f, f.times(o.n, s))
		if len(samples) > 0 {
			rows = append(rows, result{Fault: f.name, Setup: s.name, Samples: samples})
		}
		if err != nil {
			progress("%s, %s: %v", s.name, f.title, err)
			errs = append(errs, fmt.Errorf("%s: %w", f.title, err), p.Close())
			p = nil
		}
	}
	if p != nil {
		errs = append(errs, p.Close())
	}
	return rows, errors.Join(errs...)
}

// repeat makes a fault this many times. Measurements that the machine itself spoiled are repeated, up to a limit.
func (p *bench) repeat(ctx context.Context, f fault, times int) (samples []sample, err error) {
	for again := 0; len(samples) < times; {
		one, err := p.try(ctx, f)
		if err != nil {
			return samples, err
		}
		if !f.loaded && one.Disturbed && again < times {
			again++
			progress("%s, %s: measured again, the machine itself stood still for %.0f ms", p.setup.name, f.title, one.Late)
			continue
		}
		samples = append(samples, one)
		progress("%s, %s: %s", p.setup.name, f.title, one)
	}
	return samples, nil
}
