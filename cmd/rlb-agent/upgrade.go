package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host/debian"
	"rlb.dev/rlb-agent/reconcile/plan"
)

// upgradable are the packages that upgrade can install.
var upgradable = []string{"haproxy", "keepalived"}

// upgradeCommand installs newer versions of the programs.
func (a *app) upgradeCommand() *cobra.Command {
	var force, dryRun bool
	cmd := &cobra.Command{
		Use:   "upgrade [haproxy | keepalived]",
		Short: "Bring newer packages of haproxy and keepalived in, within what the spec allows",
		Long: `upgrade fetches apt's lists and installs newer versions of haproxy and keepalived, within packages.haproxy.version and
packages.keepalived.version of the spec. If this host holds the virtual IPs, it first hands them to its peer, as
drain --wait 60s does, and is eligible again afterwards: connections that have not ended by then are closed. The files
are rendered for the new versions, checked by them, and verified; if that fails, the old packages and files come back
(exit code 4). A hold stays. If no standby is ready, it changes nothing and says why (exit code 4).

Upgrade one host after the other: the standby first.`,
		Example:   "  rlb-agent upgrade --dry-run\n  rlb-agent upgrade\n  rlb-agent upgrade haproxy",
		Args:      atMost(1),
		ValidArgs: upgradable,
		RunE: func(cmd *cobra.Command, args []string) error {
			names := upgradable
			if len(args) == 1 {
				if names = args; !slices.Contains(upgradable, args[0]) {
					return usageError{fmt.Errorf("cannot upgrade %q: it is haproxy or keepalived", args[0])}
				}
			}
			return a.changing(cmd.Context(), func(ctx context.Context, h *debian.Host) error {
				return a.upgrade(ctx, h, names, dryRun, force)
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "also where no peer takes over: clients notice it")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print what would be upgraded, change nothing")
	return cmd
}

func (a *app) upgrade(ctx context.Context, h *debian.Host, names []string, dryRun, force bool) error {
	doc, err := a.trustedSpec()
	if err != nil {
		return err
	}
	if !*doc.Spec.Packages.Manage {
		return usageError{errors.New("cannot upgrade: packages.manage is false in the spec, so the packages are not the agent's; use apt")}
	}
	if err := noTrial(ctx, h); err != nil {
		return err
	}
	if err := h.RefreshPackages(ctx); err != nil {
		a.log.Warn("apt's lists may be old", "err", err)
	}
	newer, forbidden, err := plan.FindNewer(ctx, h, &doc.Spec, names...)
	if err != nil {
		return &reconcile.Failure{Err: err}
	}
	for _, offer := range forbidden {
		fmt.Fprintln(a.stdout, offer)
	}
	if len(newer) == 0 {
		fmt.Fprintln(a.stdout, "nothing to do: apt offers nothing newer that the spec allows")
		return nil
	}
	for _, n := range newer {
		fmt.Fprintf(a.stdout, "upgrade %v\n", n)
	}
	r := a.reconciler(h)
	if dryRun {
		return cmp.Or(r.UpgradeRefusal(ctx, force), errDifferent)
	}
	began := time.Now()
	r.Await = func(ctx context.Context) error { return a.awaitConnections(ctx, began) }
	result, err := r.Upgrade(ctx, doc, newer, force)
	a.leaveStatus(ctx, h, doc, result, err)
	if err != nil {
		return err
	}
	a.done(a.spec, result)
	return nil
}
