// Command clientview shows what clients see when API servers end, fail or restart: one of three, and all three at once.
// A load balancer with the spec's defaults is in front of stand-ins for the API server (hack/lab/apiserver). The
// command fails if the result differs from the manual's promises (promise.go). "make clientview".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// delay is how long an API server serves on after SIGTERM in one of the cases. kubeadm's default is 0.
const delay = 10 * time.Second

// A fault is what happens to API servers.
type fault struct {
	name   string
	delay  time.Duration // shutdown-delay-duration
	signal syscall.Signal
	starts bool          // a new process is started as soon as the old one has ended
	watch  time.Duration // how long the clients are watched
	heal   syscall.Signal
	one    promise // if it happens to one of three
	all    promise // if it happens to all
}

var faults = []fault{
	{name: fmt.Sprintf("SIGTERM, ends after %v", delay), delay: delay, signal: syscall.SIGTERM, watch: 25 * time.Second,
		one: promise{watchesFrom: delay - slack, watchesBy: delay + 2*slack, orderly: true},
		all: promise{from: delay, until: always, most: many, watchesFrom: delay - slack, watchesBy: delay + 2*slack, orderly: true}},
	{name: "restarted", signal: syscall.SIGTERM, starts: true, watch: 25 * time.Second,
		one: promise{until: seen, most: inFlight, watchesBy: seen, orderly: true},
		all: promise{until: seen, most: 3 * inFlight, watchesBy: seen, orderly: true}},
	{name: "killed with SIGKILL", signal: syscall.SIGKILL, watch: 15 * time.Second,
		one: promise{until: seen, most: inFlight, watchesBy: seen},
		all: promise{until: always, most: many, watchesBy: seen}},
	{name: "hung", signal: syscall.SIGSTOP, watch: 20 * time.Second, heal: syscall.SIGCONT,
		one: promise{until: seenHung, most: many, watchesBy: seenHung},
		all: promise{until: always, most: many, watchesBy: seenHung}},
	{name: "another certificate", signal: syscall.SIGHUP, watch: 20 * time.Second, heal: syscall.SIGUSR2,
		one: promise{until: seen, most: many, watchesBy: seen},
		all: promise{until: always, most: many, watchesBy: seen}},
	{name: "/readyz answers 500", signal: syscall.SIGUSR1, watch: 70 * time.Second, heal: syscall.SIGUSR2, one: sick, all: sick},
}

func main() {
	agent := flag.String("agent", "bin/rlb-agent", "the agent's binary")
	apiserver := flag.String("apiserver", "bin/apiserver", "the binary of hack/lab/apiserver")
	only := flag.String("only", "", "faults whose name fits this regular expression, followed by \", one\" or \", all\"")
	flag.Parse()
	lab.Main("clientview", func(ctx context.Context) error {
		return lab.OnStage(ctx, lab.Options{}, 0, func(stage *lab.Stage) error { return run(ctx, stage, *agent, *apiserver, *only) })
	})
}

func run(ctx context.Context, stage *lab.Stage, agent, apiserver, only string) error {
	fits, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	if apiserver, err = filepath.Abs(apiserver); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "rlb-clientview-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	servers, trusted, err := startServers(ctx, stage, apiserver, dir)
	defer func() {
		for _, s := range servers { // they would outlive this process
			_ = s.signal(syscall.SIGKILL)
			<-s.end()
		}
	}()
	if err != nil {
		return err
	}
	h, err := pair.Single(ctx, stage, lab.Trixie, agent, strings.Replace(pair.Spec(len(servers)), "  servers:", "  healthCheck: {caFile: /etc/rlb/ca.pem}\n  servers:", 1),
		lab.File{Path: "/etc/rlb/ca.pem", Data: trusted})
	if err != nil {
		return err
	}
	versions, err := h.Sh(ctx, "rlb-agent version; haproxy -v | head -n 1")
	if err != nil {
		return err
	}
	clients := newClients(stage.Client, trusted)
	fmt.Printf("%s\n%s", strings.TrimSpace(versions), heading)
	var broken []error
	for _, victims := range [][]*server{servers[:1], servers} {
		many := map[bool]string{true: "one", false: "all"}[len(victims) == 1]
		for _, f := range faults {
			if !fits.MatchString(f.name + ", " + many) {
				continue
			}
			seen, err := clients.during(ctx, f, victims, servers)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", f.name, many, err)
			}
			fmt.Print(seen.row(f.name + ", " + many))
			promised := map[bool]promise{true: f.one, false: f.all}[len(victims) == 1]
			for _, what := range promised.broken(seen) {
				broken = append(broken, fmt.Errorf("%s, %s: %s", f.name, many, what))
			}
		}
	}
	return errors.Join(broken...)
}
