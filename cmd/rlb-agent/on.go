package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rlb.dev/rlb-agent/cmd/rlb-agent/beside"
	"rlb.dev/rlb-agent/cmd/rlb-agent/remote"
)

// changeTime limits how long a drain on another host may take, in addition to its wait for the lock.
const changeTime = 2 * time.Minute

// onFlags name other hosts, and how to call rlb-agent there.
type onFlags struct {
	hosts []string
	sudo  bool
}

func (o *onFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&o.hosts, "on", nil, "on these hosts, through ssh: [user@]host,…")
	cmd.Flags().BoolVar(&o.sudo, "sudo", false, "with --on: call sudo -n rlb-agent there")
}

// given reports whether --on was given, even with an empty list.
func (o *onFlags) given(cmd *cobra.Command) bool { return cmd.Flags().Changed("on") }

// withoutSpec refuses --spec together with --on, since each host uses its own spec.
func (o *onFlags) withoutSpec(cmd *cobra.Command) error {
	if !o.given(cmd) || !cmd.Flags().Changed("spec") {
		return nil
	}
	return usageError{fmt.Errorf("cannot use --spec in %s --on: each host uses its own spec; rlb-agent push --dry-run FILE shows what FILE would change", cmd.Name())}
}

// withoutFile makes a command refuse --spec and hides it from completion. by names the spec that the command uses.
func withoutFile(cmd *cobra.Command, by string) {
	cmd.Flags().String("spec", "", "")
	_ = cmd.Flags().MarkHidden("spec") // fails for unknown flags only
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if !cmd.Flags().Changed("spec") {
			return nil
		}
		return usageError{fmt.Errorf("cannot use --spec in %s: it goes by %s, whatever a file says", strings.TrimPrefix(cmd.CommandPath(), "rlb-agent "), by)}
	}
}

// destinations returns the hosts of --on.
func (o *onFlags) destinations() ([]remote.Host, error) {
	hosts, err := remote.Hosts(o.hosts)
	if err == nil && len(hosts) == 0 {
		err = errors.New("cannot use --on without a host")
	}
	if err != nil {
		return nil, usageError{err}
	}
	return hosts, nil
}

// diffOn prints the diff of each host under a heading.
func (a *app) diffOn(ctx context.Context, on onFlags) error {
	hosts, err := on.destinations()
	if err != nil {
		return err
	}
	answers, errs := make([]remote.Answer, len(hosts)), make([]error, len(hosts))
	remote.Each(hosts, func(i int, h remote.Host) {
		answers[i], errs[i] = remote.SSH{Sudo: on.sudo}.Call(ctx, h, remote.Call{Args: []string{"diff"}})
	})
	codes := []int{exitDone}
	for i, h := range hosts {
		fmt.Fprintf(a.stdout, "==> %s <==\n", h.Name)
		if errs[i] != nil {
			codes = append(codes, exitUsage)
			continue
		}
		codes = append(codes, answers[i].Code)
		fmt.Fprint(a.stderr, remote.Prefixed(h.Name+": ", answers[i].Stderr))
		diff := "\n" + remote.Prefixed("", answers[i].Stdout)
		fmt.Fprint(a.stdout, strings.ReplaceAll(diff, "\n==>", "\n ==>")[1:]) // no line of a diff looks like a heading
	}
	if code := slices.Max(codes); code != exitDone {
		return &remote.Failure{Code: code, Err: errors.Join(errs...)}
	}
	return nil
}

// changeOn changes one other host and returns the exit code of the call there. wait is how long the call may go on
// after the change.
func (a *app) changeOn(ctx context.Context, on onFlags, args []string, wait time.Duration) error {
	hosts, err := on.destinations()
	if err != nil {
		return err
	}
	if len(hosts) > 1 {
		return usageError{fmt.Errorf("cannot %s %d hosts at once: name one with --on", args[0], len(hosts))}
	}
	h, ssh := hosts[0], remote.SSH{Sudo: on.sudo}
	if _, err := ssh.Call(ctx, h, remote.Call{Args: []string{"version"}}); err != nil {
		return usageError{err}
	}
	args = append(args, "--lock-timeout", a.lockTimeout.String())
	if by := a.person(); by != "" {
		args = append(args, "--by", by)
	}
	answer, err := ssh.Call(ctx, h, remote.Call{Args: args, Limit: a.lockTimeout + changeTime + wait})
	if err != nil {
		return &remote.Failure{Code: exitNeedsPerson, Err: fmt.Errorf("%w\nnot known whether it was done: see rlb-agent status --on %s", err, h.Destination)}
	}
	fmt.Fprint(a.stderr, remote.Prefixed(h.Name+": ", answer.Stderr))
	fmt.Fprint(a.stdout, remote.Prefixed(h.Name+": ", answer.Stdout))
	if answer.Code != exitDone {
		return &remote.Failure{Code: answer.Code}
	}
	return nil
}

// statusOn shows other hosts side by side. Exit code 1: a host is not ready or does not answer, or their specs differ.
func (a *app) statusOn(ctx context.Context, on onFlags, output string) error {
	hosts, err := on.destinations()
	if err != nil {
		return err
	}
	all := beside.Ask(ctx, remote.SSH{Sudo: on.sudo}, hosts)
	if err := encode(a.stdout, output, all, func() error { return beside.Print(a.stdout, all) }); err != nil {
		return err
	}
	bad := func(h beside.Host) bool { return h.Status == nil || !h.Status.Is("Ready") }
	if slices.ContainsFunc(all, bad) || len(beside.Digests(all)) > 1 {
		return errDifferent
	}
	return nil
}
