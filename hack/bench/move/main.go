// Command move measures what planned moves of the virtual IP cost clients under load, with the agent's defaults, with
// the original's configuration and with a keepalived tuned by hand: "make bench-move".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/hack/lab"
)

type options struct {
	agent     string
	kubevip   string   // path of the program kube-vip, or ""
	n         int      // moves with each setup
	setups    []string // their names
	move      string   // a command for the active host in place of the setup's; "": that of the setup
	rate      int      // new connections a second
	halfRate  int      // half-open connections a second
	quiet     int      // long idle connections
	json, svg string
	from      []string // files of samples, instead of measuring
}

func main() {
	var o options
	var names, from string
	flag.StringVar(&o.agent, "agent", "bin/rlb-agent", "the agent's binary")
	flag.StringVar(&o.kubevip, "kubevip", "", "the program of kube-vip, which is moved too then")
	flag.IntVar(&o.n, "n", 20, "moves with each setup")
	flag.StringVar(&names, "setups", strings.Join(setupNames(), ","), "which setups, by commas")
	flag.StringVar(&o.move, "move", "", "the command on the active host that moves the virtual IP; the default is the setup's")
	flag.IntVar(&o.rate, "rate", 400, "new connections a second")
	flag.IntVar(&o.halfRate, "half", 20, "half-open connections a second")
	flag.IntVar(&o.quiet, "long", 100, "long and quiet connections in each move")
	flag.StringVar(&o.json, "json", "", "a file that gets every sample")
	flag.StringVar(&o.svg, "svg", "", "a file that gets a picture")
	flag.StringVar(&from, "from", "", "files that -json wrote, by commas: report them instead of measuring")
	flag.Parse()
	o.setups = strings.Split(names, ",")
	if from != "" {
		o.from = strings.Split(from, ",")
	}
	lab.Main("move", func(ctx context.Context) error { return run(ctx, o) })
}

func run(ctx context.Context, o options) error {
	all, err := readJSON(o.from)
	if err == nil && len(o.from) == 0 {
		all, err = measureAll(ctx, o)
	}
	if len(all) == 0 {
		return err
	}
	all.print(os.Stdout)
	if o.json != "" {
		err = errors.Join(err, all.writeJSON(o.json))
	}
	if o.svg != "" {
		err = errors.Join(err, os.WriteFile(o.svg, all.draw(), 0o644))
	}
	return err
}

// measureAll measures one setup after the other; with an error it returns the results so far.
func measureAll(ctx context.Context, o options) (all results, err error) {
	for _, name := range o.setups {
		if name == kubeVIP && o.kubevip == "" {
			continue
		}
		at := slices.IndexFunc(setups, func(s setup) bool { return s.name == name })
		if at < 0 {
			return all, fmt.Errorf("cannot move with %q: there are %s", name, strings.Join(setupNames(), ", "))
		}
		s := setups[at]
		if o.move != "" {
			s.move, s.back = o.move, s.back+"; systemctl start haproxy keepalived"
		}
		r := result{Setup: name}
		err := lab.OnStage(ctx, lab.Options{}, 3, func(stage *lab.Stage) (err error) {
			r.Moves, err = measure(ctx, stage, s, o)
			return err
		})
		if len(r.Moves) > 0 {
			all = append(all, r)
		}
		if err != nil {
			return all, fmt.Errorf("%s: %w", name, err)
		}
	}
	return all, nil
}
