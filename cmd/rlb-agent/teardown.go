package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"rlb.dev/rlb-agent/cmd/rlb-agent/terminal"
	"rlb.dev/rlb-agent/reconcile/host/debian"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/reconcile/state"
)

// teardownCommand restores the state before the first run.
func (a *app) teardownCommand() *cobra.Command {
	var keep, dryRun, yes bool
	cmd := &cobra.Command{
		Use:     "teardown",
		Short:   "Undo everything: this host becomes what it was before the first run",
		Example: "  rlb-agent teardown --dry-run\n  rlb-agent teardown --keep-packages",
		Args:    atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dryRun {
				return a.teardownPreview(cmd.Context(), keep)
			}
			// without a terminal nobody can answer: the command is enough
			if !yes && terminal.Is(a.stdin) && !terminal.Ask(a.stdin, a.stderr, "This host stops being a load balancer: HAProxy and keepalived stop unless they ran before the first run.\n"+
				"rlb-agent teardown --dry-run shows the steps. Go on?") {
				return usageError{errors.New("cannot tear down: not confirmed; nothing was changed")}
			}
			return a.changing(cmd.Context(), func(ctx context.Context, h *debian.Host) error {
				result, err := a.reconciler(h).Teardown(ctx, keep)
				if err != nil {
					return err
				}
				fmt.Fprintf(a.stdout, "done: nothing of rlb-agent is left on this host but %s and the program (%d steps)\n", a.spec, len(result.Steps))
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&keep, "keep-packages", false, "leave the packages that were installed")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print what would be done, change nothing")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask, also on a terminal")
	return cmd
}

// teardownPreview prints what a teardown would do.
func (a *app) teardownPreview(ctx context.Context, keepPackages bool) error {
	h, err := a.host()
	if err != nil {
		return err
	}
	defer h.Close()
	if err := h.Ready(ctx); err != nil {
		return err
	}
	t, err := plan.PlanTeardown(ctx, h, keepPackages)
	if err != nil {
		return err
	}
	at := plan.Place{}
	if force, err := state.ReadInForce(ctx, h); err == nil && force != nil {
		at = a.place(ctx, h, force.Spec, force.Node)
		at.Back = false
	}
	return a.printSteps(slices.Concat(t.Back, t.Last), at, "there is nothing of rlb-agent on this host")
}
