// Command demo shows all of rlb-agent on two real Debian hosts: "make demo".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

func main() {
	binary := flag.String("agent", "", "the agent's binary")
	flag.Parse()
	lab.Main("demo", func(ctx context.Context) error { return run(ctx, *binary) })
}

// demo is the lab and its hosts.
type demo struct {
	*lab.Stage
	hosts []*lab.Host
}

func run(ctx context.Context, binary string) (err error) {
	if err := lab.Available(); err != nil {
		return err
	}
	progress := lab.Options{Log: func(format string, args ...any) { fmt.Printf("  "+format+"\n", args...) }}
	title("Two bare Debian 13 hosts, four control planes and a client, on a network of their own")
	if err := lab.EnsureCaches(ctx, progress, lab.Trixie); err != nil {
		return err
	}
	stage, err := lab.NewStage(ctx, progress, 4)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stage.Close()) }()
	files, err := pair.Files(binary, "hack/systemd/rlb-agent.service")
	if err != nil {
		return err
	}
	d := demo{Stage: stage}
	if d.hosts, err = stage.AddHosts(ctx, lab.HostOptions{Files: files}, lab.Trixie, lab.Trixie); err != nil {
		return err
	}
	for _, part := range []func(context.Context) error{
		d.apply, d.serve, d.edit, d.daemon, d.failover, d.status,
	} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	title("Done; the lab is taken down")
	return nil
}

func title(text string) { fmt.Printf("\n=== %s\n\n", text) }

// show prints text, indented.
func show(text string) {
	for line := range strings.Lines(text) {
		fmt.Print("  " + line)
	}
}

// agent runs the agent on a host and prints its output. Exit code 1 means "differences found" and is not a
// failure.
func (d *demo) agent(ctx context.Context, host *lab.Host, args ...string) error {
	fmt.Printf("  %s# rlb-agent %s\n", host.Name(), strings.Join(args, " "))
	command := host.Command(ctx, append([]string{pair.Agent}, args...)...)
	out, err := command.CombinedOutput()
	show(string(out))
	fmt.Println()
	if command.ProcessState != nil && command.ProcessState.ExitCode() == 1 {
		return nil
	}
	return err
}

func (d *demo) apply(ctx context.Context) error {
	title("One spec file, the same on both: " + pair.SpecFile)
	show(pair.Spec(3))
	for _, host := range d.hosts {
		if err := host.WriteFile(pair.SpecFile, []byte(pair.Spec(3)), 0o644); err != nil {
			return err
		}
	}
	title("What it would do (without the diffs)")
	plan, err := d.hosts[0].Command(ctx, pair.Agent, "--once", "--dry-run").Output()
	if len(plan) == 0 {
		return err
	}
	for line := range strings.Lines(string(plan)) {
		if !strings.HasPrefix(line, "    ") {
			fmt.Print("  " + line)
		}
	}
	title("Apply it on both hosts: packages, firewall, files, services")
	for _, host := range d.hosts {
		if err := d.agent(ctx, host, "--once"); err != nil {
			return err
		}
	}
	title("And again: nothing to do")
	return d.agent(ctx, d.hosts[0], "--once")
}

// answers sends requests to the virtual IP until each of the first n control planes has answered.
func (d *demo) answers(ctx context.Context, n int) error {
	seen := map[string]int{}
	if err := lab.Until(ctx, 20*time.Second, func() bool {
		if name, err := d.Client.Get(ctx, pair.Service); err == nil {
			seen[name]++
		}
		return len(seen) >= n
	}); err != nil {
		return fmt.Errorf("cannot reach all control planes through %s, only %v: %w", pair.Service, seen, err)
	}
	for range 9 {
		name, err := d.Client.Get(ctx, pair.Service)
		if err != nil {
			return err
		}
		fmt.Printf("  GET https://%s/ answered by %s\n", pair.Service, name)
	}
	return nil
}

func (d *demo) serve(ctx context.Context) error {
	title("The virtual IP serves all three control planes")
	return d.answers(ctx, 3)
}

// probe measures what a client sees: a new connection every 5 ms, each judged by itself.
func (d *demo) probe(do func() error) error {
	p, err := d.Client.Probe(pair.Service, lab.ProbeOptions{})
	if err != nil {
		return err
	}
	time.Sleep(300 * time.Millisecond)
	err = do()
	time.Sleep(700 * time.Millisecond)
	r := p.Stop()
	fmt.Printf("  A client made %d new connections meanwhile: %d failed; longest time without a good one: %v\n", r.Total, r.Failed, r.Gap.Round(time.Millisecond))
	for reason, n := range r.Errors {
		fmt.Printf("    %d: %s\n", n, reason)
	}
	return err
}

func (d *demo) edit(ctx context.Context) error {
	title("Add a server to the spec, under load")
	return d.probe(func() error {
		for _, host := range d.hosts {
			if err := host.WriteFile(pair.SpecFile, []byte(pair.Spec(4)), 0o644); err != nil {
				return err
			}
		}
		if err := d.agent(ctx, d.hosts[0], "diff"); err != nil {
			return err
		}
		for _, host := range d.hosts {
			if err := d.agent(ctx, host, "--once"); err != nil {
				return err
			}
		}
		return d.answers(ctx, 4)
	})
}

// active returns the host that holds the virtual IP.
func (d *demo) active() *lab.Host {
	for _, host := range d.hosts {
		if pair.Holds(host) {
			return host
		}
	}
	return nil
}

// daemon starts the agent as a daemon on the hosts, and waits until it sees HAProxy answer.
func (d *demo) daemon(ctx context.Context) error {
	title("The agent as a daemon on both")
	for _, host := range d.hosts {
		fmt.Printf("  %s# systemctl enable --now rlb-agent\n", host.Name())
		if _, err := host.Run(ctx, "systemctl", "enable", "--now", "rlb-agent"); err != nil {
			return err
		}
	}
	for _, host := range d.hosts {
		if err := lab.Until(ctx, 10*time.Second, func() bool {
			seen, err := host.ReadFile("/run/rlb/guard.json")
			return err == nil && strings.Contains(string(seen), `"answers"`)
		}); err != nil {
			return fmt.Errorf("the daemon on %s does not see haproxy answer: %w", host.Name(), err)
		}
	}
	return nil
}

func (d *demo) failover(ctx context.Context) error {
	active := d.active()
	if active == nil {
		return errors.New("cannot see who holds the virtual IP")
	}
	title("Stop HAProxy on the active host, " + active.Name())
	return d.probe(func() error {
		if _, err := active.Run(ctx, "systemctl", "stop", "haproxy"); err != nil {
			return err
		}
		if err := lab.Until(ctx, 10*time.Second, func() bool { now := d.active(); return now != nil && now != active }); err != nil {
			return fmt.Errorf("there is no failover: %w", err)
		}
		fmt.Printf("  %s holds the virtual IP now\n", d.active().Name())
		return nil
	})
}

func (d *demo) status(ctx context.Context) error {
	title("The status of both")
	for _, host := range d.hosts {
		if err := d.agent(ctx, host, "status"); err != nil {
			return err
		}
	}
	return nil
}
