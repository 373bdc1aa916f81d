// Command chaos makes random faults on a real pair under load, and judges the results: "make chaos".
package main

import (
	"context"
	"flag"
	"fmt"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/chaos"
)

func main() {
	o := chaos.Options{Log: func(format string, args ...any) {
		fmt.Printf(time.Now().Format(time.TimeOnly)+" "+format+"\n", args...)
	}}
	flag.StringVar(&o.Agent, "agent", "bin/rlb-agent", "the agent's binary")
	flag.StringVar(&o.Unit, "unit", "hack/systemd/rlb-agent.service", "the agent's systemd unit")
	flag.DurationVar(&o.Duration, "duration", 10*time.Minute, "how long faults are made")
	flag.Uint64Var(&o.Seed, "seed", uint64(time.Now().Unix()), "the same seed makes the same faults")
	flag.StringVar(&o.Only, "only", "", "faults whose name contains one of these, separated by commas")
	flag.Parse()
	lab.Main("chaos", func(ctx context.Context) error { return run(ctx, o) })
}

func run(ctx context.Context, o chaos.Options) error {
	if err := lab.Available(); err != nil {
		return err
	}
	if err := lab.EnsureCaches(ctx, lab.Options{Log: o.Log}, lab.Trixie); err != nil {
		return err
	}
	report, err := chaos.Run(ctx, o)
	fmt.Print("\n" + report)
	return err
}
