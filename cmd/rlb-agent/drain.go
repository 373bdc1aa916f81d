package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host/debian"
	"rlb.dev/rlb-agent/reconcile/state"
)

// drainCommand hands the virtual IPs to the peer and keeps this host out of the virtual router.
func (a *app) drainCommand() *cobra.Command {
	var (
		force bool
		wait  time.Duration
		on    onFlags
	)
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "Hand the virtual IPs to the peer and stay out until undrain, over restarts and boots",
		Long: `drain hands the virtual IPs to the peer in order and keeps this host out of the virtual router until undrain, over
restarts and boots. It is refused if no peer answers, and undone if no peer takes over: exit code 4.

New connections go to the peer at once, and established ones end within 3 s. With --wait this host goes on serving the
established ones until they end, for at most that time; their clients notice nothing. Connections that are left then are
closed. The command waits meanwhile. If it is interrupted, the daemon goes on serving them: rlb-agent status shows how
many are left, and another drain --wait sets another deadline. Neither undrain nor a move back ends the wait. If --wait
cannot work (vrrp.handover: none, profile: classic), the command is refused: exit code 2.`,
		Example: "  rlb-agent drain\n  rlb-agent drain --wait 10m\n  rlb-agent drain --wait 10m --on root@lb1",
		Args:    atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("wait") && (wait <= 0 || wait > reconcile.MaxWait) {
				return usageError{fmt.Errorf("cannot wait for connections for %v: it must be more than 0s, and %v at most", wait, reconcile.MaxWait)}
			}
			if on.given(cmd) {
				args := []string{"drain"}
				if force {
					args = append(args, "--force")
				}
				if wait > 0 {
					args = append(args, "--wait", wait.String())
				}
				return a.changeOn(cmd.Context(), on, args, wait)
			}
			began := time.Now()
			ctx, stop := untilTerminalLost(cmd.Context())
			defer stop()
			err := a.draining(ctx, func(ctx context.Context, r *reconcile.Reconciler, doc *api.Document) (reconcile.Result, error) {
				result, err := r.Drain(ctx, doc, force, wait)
				if err == nil {
					fmt.Fprintln(a.stdout, "drained: this host holds no virtual IP and takes none; rlb-agent undrain ends that")
				}
				return result, err
			})
			if err != nil || wait == 0 {
				return err
			}
			return a.awaitConnections(ctx, began)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "also if no other host takes over")
	withoutFile(cmd, "the spec that is in force")
	cmd.Flags().DurationVar(&wait, "wait", 0, "go on serving the established connections for up to this time, 24h at most: 10m")
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
				return a.changeOn(cmd.Context(), on, []string{"undrain"}, 0)
			}
			return a.draining(cmd.Context(), func(ctx context.Context, r *reconcile.Reconciler, doc *api.Document) (reconcile.Result, error) {
				result, err := r.Undrain(ctx, doc)
				if err == nil {
					fmt.Fprintln(a.stdout, "undrained: this host can hold the virtual IPs again")
				}
				return result, err
			})
		},
	}
	withoutFile(cmd, "the spec that is in force")
	on.register(cmd)
	return cmd
}

// draining runs do with the spec in force on this host, which may differ from the spec file.
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
			a.leaveStatus(ctx, h, doc, result, err)
		}
		return err
	})
}
