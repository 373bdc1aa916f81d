package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"rlb.dev/rlb-agent/reconcile/host/debian"
)

// teardownCommand makes this host what it was before the first run.
func (a *app) teardownCommand() *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use:   "teardown",
		Short: "Undo everything: this host becomes what it was before the first run",
		Args:  atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
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
	return cmd
}
