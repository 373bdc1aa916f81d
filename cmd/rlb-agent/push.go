package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/cmd/rlb-agent/push"
	"rlb.dev/rlb-agent/cmd/rlb-agent/remote"
	"rlb.dev/rlb-agent/cmd/rlb-agent/terminal"
	"rlb.dev/rlb-agent/reconcile/state"
)

// pushOptions are the flags of push.
type pushOptions struct {
	on      onFlags
	yes     bool
	dryRun  bool
	timeout time.Duration
}

// pushCommand brings a spec into force on all load balancers.
func (a *app) pushCommand() *cobra.Command {
	var options pushOptions
	cmd := &cobra.Command{
		Use:   "push FILE",
		Short: "Bring FILE into force on all load balancers through ssh, the standby first",
		Long: `push brings FILE into force on all load balancers, from any machine that reaches them through ssh. It calls the hosts
that FILE names under nodes by their first address, or those of --on.

Nothing changes before every host was asked: it is in sync, its programs accept FILE, and you have seen the diff. Then
each host tries FILE, the standby first, the host that holds the virtual IPs last. Each must serve, and the services must
answer at the virtual IPs. When all do, all confirm. Otherwise, also if this machine is closed or the network is cut, each
host goes back by itself after --timeout.

Exit codes: 0 in force on all hosts · 1 --dry-run found differences, or the answer was no · 2 wrong use, no ssh, a host
cannot be reached or is not in sync; nothing touched · 3 a host refuses FILE; nothing touched · 4 failed, or another spec
is being tried or came first; FILE is in force on no host · 5 a host could not be brought back, or its state is not known`,
		Example: `  rlb-agent push --dry-run spec.yaml
  rlb-agent push spec.yaml
  rlb-agent push --on root@lb1,root@lb2 --yes spec.yaml`,
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{errors.New("cannot push nothing: rlb-agent push FILE")}
			}
			file, err := a.fileOrSpec(cmd, args)
			if err != nil {
				return err
			}
			return a.push(cmd.Context(), file, options)
		},
	}
	options.on.register(cmd)
	a.takeOverFlag(cmd)
	cmd.Flags().Lookup("on").Usage = "these hosts in place of the spec's nodes: [user@]host,…"
	cmd.Flags().Lookup("sudo").Usage = "call sudo -n rlb-agent on the hosts: the remote user is not root"
	cmd.Flags().BoolVar(&options.yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&options.dryRun, "dry-run", false, "print what would be done on each host, change nothing")
	cmd.Flags().DurationVar(&options.timeout, "timeout", 2*time.Minute, "after this a host goes back by itself unless all have confirmed, 10s to 1h")
	return cmd
}

func (a *app) push(ctx context.Context, file string, options pushOptions) error {
	switch {
	case options.timeout < 10*time.Second || options.timeout > time.Hour:
		return usageError{fmt.Errorf("cannot push with --timeout %v: it is 10s to 1h", options.timeout)}
	case !options.yes && !options.dryRun && !terminal.Is(a.stdin):
		return usageError{errors.New("cannot ask without a terminal: use --yes, or --dry-run")}
	}
	doc, err := a.readSpec(file)
	if err != nil {
		return err
	}
	hosts, err := pushHosts(doc, options.on)
	if err != nil {
		return err
	}
	p := push.Push{
		Remote: remote.SSH{Sudo: options.on.sudo}, Hosts: hosts, Doc: doc,
		ID: rand.Text(), By: a.person(), Timeout: options.timeout, LockTimeout: min(a.lockTimeout, options.timeout/2),
		Version: agentVersion(), DryRun: options.dryRun, TakeOver: a.takeOver, Out: a.stdout, Log: a.stderr,
		Sees: push.FromHere(state.MemoryFile),
		Ask:  func(question string) bool { return options.yes || terminal.Ask(a.stdin, a.stderr, question) },
	}
	ctx, stop := untilTerminalLost(ctx)
	defer stop()
	return p.Run(ctx)
}

// pushHosts returns the hosts of --on, else the nodes of the spec.
func pushHosts(doc *api.Document, on onFlags) ([]remote.Host, error) {
	if len(on.hosts) > 0 {
		return on.destinations()
	}
	if len(doc.Spec.Nodes) == 0 {
		return nil, usageError{fmt.Errorf("cannot tell the hosts: %s has no nodes; name them with --on", doc.File)}
	}
	var hosts []remote.Host
	for _, node := range doc.Spec.Nodes {
		hosts = append(hosts, remote.Host{Name: node.Name, Destination: node.Addresses[0]})
	}
	return hosts, nil
}

// person returns user@machine of the caller, for the history of another machine; "" if the name is
// not valid.
func (a *app) person() string {
	machine, _ := os.Hostname()
	if name := a.by + "@" + machine; isPerson(name) {
		return name
	}
	return ""
}
