package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host/debian"
	"rlb.dev/rlb-agent/reconcile/state"
)

// drainCommand hands the virtual IPs to the peer and stays out.
func (a *app) drainCommand() *cobra.Command {
	var (
		force bool
		on    onFlags
	)
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "Hand the virtual IPs to the peer and stay out until undrain, over restarts and boots",
		Long: `drain hands the virtual IPs to the peer in order and keeps this host out of the virtual router until undrain, over
restarts and boots. It is refused where no peer is seen, and taken back where none takes over: exit code 4.`,
		Example: "  rlb-agent drain\n  rlb-agent drain --on root@lb1",
		Args:    atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if on.given(cmd) {
				args := []string{"drain"}
				if force {
					args = append(args, "--force")
				}
				return a.changeOn(cmd.Context(), on, args)
			}
			return a.draining(cmd.Context(), func(ctx context.Context, r *reconcile.Reconciler, doc *api.Document) (reconcile.Result, error) {
				result, err := r.Drain(ctx, doc, force)
				if err == nil {
					fmt.Fprintln(a.stdout, "drained: this host holds no virtual IP and takes none; rlb-agent undrain ends that")
				}
				return result, err
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "also where nobody is seen to take over")
	on.register(cmd)
	return cmd
}

func (a *app) undrainCommand() *cobra.Command {
	var on onFlags
	cmd := &cobra.Command{
		Use:     "undrain",
		Short:   "Let this host hold the virtual IPs again",
		Example: "  rlb-agent undrain\n  rlb-agent undrain --on root@lb1",
		Args:    atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if on.given(cmd) {
				return a.changeOn(cmd.Context(), on, []string{"undrain"})
			}
			return a.draining(cmd.Context(), func(ctx context.Context, r *reconcile.Reconciler, doc *api.Document) (reconcile.Result, error) {
				result, err := r.Undrain(ctx, doc)
				if err == nil {
					fmt.Fprintln(a.stdout, "undrained: this host takes the virtual IPs when it is its turn")
				}
				return result, err
			})
		},
	}
	on.register(cmd)
	return cmd
}

// draining does something with the spec that is in force here, which may not be the one in the spec file.
func (a *app) draining(ctx context.Context, do func(context.Context, *reconcile.Reconciler, *api.Document) (reconcile.Result, error)) error {
	return a.changing(ctx, func(ctx context.Context, h *debian.Host) error {
		if err := noTrial(ctx, h); err != nil {
			return err
		}
		doc, err := state.LastGood(ctx, h)
		if err != nil {
			return &reconcile.Failure{Err: err}
		}
		result, err := do(ctx, a.reconciler(h), doc)
		if doc != nil {
			a.leaveStatus(ctx, h, doc, nil, result, err)
		}
		return err
	})
}
