// Command falsetakeover counts how often the virtual IP moves although nothing fails, by advertisement interval and by
// the load on the hosts: "make falsetakeover". Nothing is killed and no host is lost, so each takeover is without
// cause.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
	"rlb.dev/rlb-agent/reconcile/headroom"
	"rlb.dev/rlb-agent/reconcile/state"
)

type options struct {
	agent     string
	during    time.Duration // duration of each load
	stall     time.Duration // duration of each stall
	intervals []time.Duration
	loads     []string // their names; none: all
	json      string
}

func main() {
	var o options
	var intervals, names string
	flag.StringVar(&o.agent, "agent", "bin/rlb-agent", "the agent's binary")
	flag.DurationVar(&o.during, "during", 10*time.Second, "how long each load lasts at each interval")
	flag.DurationVar(&o.stall, "stall", 30*time.Millisecond, "how long a stall lasts; there is one a second")
	flag.StringVar(&intervals, "intervals", "1s,100ms,50ms,20ms", "advertisement intervals, by commas, from the longest on")
	flag.StringVar(&names, "loads", "", "which loads, by commas; default all: "+strings.Join(loadNames(), ","))
	flag.StringVar(&o.json, "json", "", "a file that gets every figure")
	flag.Parse()
	if names != "" {
		o.loads = strings.Split(names, ",")
	}
	lab.Main("falsetakeover", func(ctx context.Context) error {
		for _, text := range strings.Split(intervals, ",") {
			d, err := time.ParseDuration(text)
			if err != nil {
				return err
			}
			o.intervals = append(o.intervals, d)
		}
		return lab.OnStage(ctx, lab.Options{}, 3, func(stage *lab.Stage) error { return run(ctx, stage, o) })
	})
}

// A figure is the result of one load at one interval.
type figure struct {
	Interval  string        `json:"interval"`
	Load      string        `json:"load"`
	During    string        `json:"during"`
	Takeovers int           `json:"takeovers"`          // without cause
	WorstGap  headroom.Span `json:"worstGap,omitempty"` // between advertisements, as the hosts received them
	Allowed   headroom.Span `json:"allowed"`
	WorstLate headroom.Span `json:"worstLate"` // of the agents' timers
	CPU       float64       `json:"cpu"`       // seconds per hour, of one agent
}

func run(ctx context.Context, stage *lab.Stage, o options) error {
	hosts, err := boot(ctx, stage, o)
	if err != nil {
		return err
	}
	var figures []figure
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "interval\tload\ttakeovers without cause\tworst gap\tallowed\tagent late by\tits CPU, s an hour\t")
	for _, interval := range o.intervals {
		if err := settle(ctx, hosts, interval); err != nil {
			return err
		}
		for _, l := range loads {
			if len(o.loads) > 0 && !slices.Contains(o.loads, l.name) {
				continue
			}
			f, err := measure(ctx, stage, hosts, interval, l, o)
			if err != nil {
				return fmt.Errorf("%v, %s: %w", interval, l.name, err)
			}
			figures = append(figures, f)
			fmt.Fprintf(table, "%s\t%s\t%d\t%v\t%v\t%v\t%.1f\t\n", f.Interval, f.Load, f.Takeovers, f.WorstGap, f.Allowed, f.WorstLate, f.CPU)
			fmt.Fprintf(os.Stderr, "  %v, %s: %d takeovers, worst gap %v\n", interval, l.name, f.Takeovers, f.WorstGap)
		}
	}
	if err := table.Flush(); err != nil || o.json == "" {
		return err
	}
	data, err := json.MarshalIndent(figures, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(o.json, append(data, '\n'), 0o644)
}

func specOf(interval time.Duration) []byte {
	return []byte(pair.Spec(3, pair.Nodes, fmt.Sprintf("vrrp: {advertisementInterval: %v}", interval)))
}

// boot makes a pair with running agents.
func boot(ctx context.Context, stage *lab.Stage, o options) ([]*lab.Host, error) {
	files, err := pair.Files(o.agent, "hack/systemd/rlb-agent.service")
	if err != nil {
		return nil, err
	}
	files = append(files, lab.File{Path: pair.SpecFile, Data: specOf(o.intervals[0])})
	hosts, err := stage.AddHosts(ctx, lab.HostOptions{Installed: true, Files: files}, lab.Trixie, lab.Trixie)
	if err != nil {
		return nil, err
	}
	return hosts, pair.Each(hosts, func(h *lab.Host) error {
		_, err := h.Run(ctx, "systemctl", "enable", "--now", "rlb-agent")
		return err
	})
}

// settle brings an interval into force on both hosts. This may move the virtual IP, which is not counted.
func settle(ctx context.Context, hosts []*lab.Host, interval time.Duration) error {
	if err := pair.Each(hosts, func(h *lab.Host) error { return h.WriteFile(pair.SpecFile, specOf(interval), 0o644) }); err != nil {
		return err
	}
	return calm(ctx, hosts, interval)
}

// calm waits until both agents measure at the interval, and only one host has held the virtual IP for a while.
func calm(ctx context.Context, hosts []*lab.Host, interval time.Duration) error {
	since := time.Now()
	err := lab.Until(ctx, time.Minute, func() bool {
		if pair.Holds(hosts[0]) == pair.Holds(hosts[1]) || slices.ContainsFunc(hosts, func(h *lab.Host) bool {
			return recordOf(h).Interval != headroom.Span(interval)
		}) {
			since = time.Now()
		}
		return time.Since(since) > time.Second
	})
	if err != nil {
		return fmt.Errorf("the pair does not settle at %v: %w", interval, err)
	}
	return nil
}

// recordOf returns the record of a host's agent; the zero value if there is none.
func recordOf(h *lab.Host) (r headroom.Record) {
	data, err := h.ReadFile(state.HeadroomFile)
	if err == nil {
		_ = json.Unmarshal(data, &r)
	}
	return r
}
