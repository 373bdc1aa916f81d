// Command failover measures what a client sees when something fails on the active host of a pair, with the original's
// configuration and with the agent's: "make bench".
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
	strict      bool
}

func main() {
	var o options
	var faultNames, profiles string
	flag.StringVar(&o.agent, "agent", "bin/rlb-agent", "the agent's binary")
	flag.StringVar(&o.unit, "unit", "hack/systemd/rlb-agent.service", "the agent's systemd unit")
	flag.IntVar(&o.n, "n", 20, "how often each fault is made; those that nothing ends are made 3 times at most")
	flag.StringVar(&faultNames, "faults", "", "which faults, by commas; default all: "+strings.Join(names(), ","))
	flag.StringVar(&profiles, "profiles", "standard,classic", "which profiles, by commas")
	flag.DurationVar(&o.interval, "interval", 50*time.Millisecond, "an advertisement interval that link-cut and crash are measured with too; 0 for none")
	flag.IntVar(&o.rate, "rate", 2000, "new connections a second for what is measured under load; less where the machine cannot")
	flag.StringVar(&o.json, "json", "", "a file that gets every sample")
	flag.StringVar(&o.svg, "svg", "", "a file that gets a picture of the distributions")
	flag.BoolVar(&o.strict, "strict", false, "exit with 1 if a bar is missed")
	flag.Parse()
	if faultNames != "" {
		o.faults = strings.Split(faultNames, ",")
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

// run measures and reports; missed says that a bar was missed.
func run(ctx context.Context, o options) (missed bool, err error) {
	for _, name := range o.faults {
		if !slices.Contains(names(), name) {
			return false, fmt.Errorf("cannot make fault %q: there are %s", name, strings.Join(names(), ", "))
		}
	}
	setups, err := setupsOf(o.profiles, o.interval)
	if err != nil {
		return false, err
	}
	if err := lab.EnsureCaches(ctx, lab.Options{Log: progress}, lab.Trixie); err != nil {
		return false, err
	}
	var all results
	for _, s := range setups {
		rows, err := measure(ctx, s, o)
		all = append(all, rows...)
		if err != nil {
			return false, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	missed = all.print(os.Stdout)
	if o.json != "" {
		err = errors.Join(err, all.writeJSON(o.json))
	}
	if o.svg != "" {
		err = errors.Join(err, os.WriteFile(o.svg, all.draw(), 0o644))
	}
	return missed, err
}

// progress tells on standard error what takes long.
func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, "  "+format+"\n", args...) }

// measure makes a pair, and every fault that was asked for on it.
func measure(ctx context.Context, s setup, o options) (rows results, err error) {
	p, err := newPair(ctx, s, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	for _, f := range faults {
		if len(o.faults) > 0 && !slices.Contains(o.faults, f.name) || !s.has(f.name) {
			continue
		}
		if why := p.lacks(ctx, f); why != "" {
			progress("%s, %s: left out, %s", s.name, f.title, why)
			continue
		}
		row := result{Fault: f.name, Setup: s.name}
		for again := 0; len(row.Samples) < f.times(o.n, s); {
			one, err := p.try(ctx, f)
			if err != nil {
				return rows, fmt.Errorf("%s: %w", f.title, err)
			}
			if !f.loaded && one.disturbed() && again < o.n {
				again++
				progress("%s, %s: measured again, the machine itself stood still for %.0f ms", s.name, f.title, one.Late)
				continue
			}
			row.Samples = append(row.Samples, one)
			progress("%s, %s: %s", s.name, f.title, one)
		}
		rows = append(rows, row)
	}
	return rows, nil
}
