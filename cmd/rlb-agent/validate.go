package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian"
)

// validateCommand parses and validates a spec. It runs the installed programs' own checks too.
func (a *app) validateCommand() *cobra.Command {
	var (
		flags  factFlags
		strict bool
	)
	cmd := &cobra.Command{
		Use:     "validate [FILE]",
		Short:   "Check a spec, with the real programs too where they are installed",
		Example: "  rlb-agent validate\n  rlb-agent validate --strict spec.yaml\n  rlb-agent validate --spec - < spec.yaml",
		Args:    atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := a.fileOrSpec(cmd, args)
			if err != nil {
				return err
			}
			doc, h, look, err := a.rendering(cmd.Context(), path, flags.facts())
			if err != nil {
				return err
			}
			defer h.Close()
			warnings := doc.Warnings(hostFacts(cmd.Context(), h, doc, look.Desired.Facts.Interface))
			warned, err := a.check(cmd.Context(), h, doc, look)
			warnings = warnings.With(warned) // if both have a warning for a line, ours is plainer and is kept
			if err == nil && strict && len(warnings) > 0 {
				return warnings
			}
			if len(warnings) > 0 {
				fmt.Fprintln(a.stderr, a.problems(warnings))
			}
			if err == nil {
				fmt.Fprintf(a.stdout, "%s: valid\n", path)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "refuse a spec with warnings too")
	flags.register(cmd)
	return cmd
}

// hostFacts returns the facts for host-dependent warnings; none if this machine is not one of the
// spec's hosts.
func hostFacts(ctx context.Context, h *debian.Host, doc *api.Document, iface string) api.HostFacts {
	interfaces, err := h.Interfaces(ctx)
	if err != nil || h.Ready(ctx) != nil {
		return api.HostFacts{}
	}
	memory, _ := h.Memory(ctx) // 0: not known
	return api.HostFacts{Interface: iface, Subnets: host.Subnets(interfaces, doc.Spec.VirtualIPs), Memory: memory}
}
