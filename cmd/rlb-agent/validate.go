package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host/debian"
)

// validateCommand parses and validates, and asks the real programs where they are installed.
func (a *app) validateCommand() *cobra.Command {
	var (
		flags  factFlags
		strict bool
	)
	cmd := &cobra.Command{
		Use:   "validate [FILE]",
		Short: "Check a spec, with the real programs too where they are installed",
		Args:  atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := a.spec
			if len(args) == 1 {
				path = args[0]
			}
			doc, h, look, err := a.look(cmd.Context(), path, flags.facts())
			if err != nil {
				return err
			}
			defer h.Close()
			warnings := doc.Warnings(hostFacts(cmd.Context(), h, doc, look.Desired.Facts.Interface))
			err = a.check(cmd.Context(), h, look)
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
	cmd.Flags().BoolVar(&strict, "strict", false, "refuse what is legal but unwise, too")
	flags.register(cmd)
	return cmd
}

// hostFacts is what warnings look at, where this machine is one of the spec's hosts.
func hostFacts(ctx context.Context, h *debian.Host, doc *api.Document, iface string) api.HostFacts {
	interfaces, err := h.Interfaces(ctx)
	if err != nil || h.Ready(ctx) != nil {
		return api.HostFacts{}
	}
	facts := api.HostFacts{Interface: iface, Subnets: map[string][]netip.Prefix{}}
	for _, i := range interfaces {
		for _, prefix := range i.Prefixes {
			// A virtual IP that is held just now says nothing of the network.
			virtual := slices.ContainsFunc(doc.Spec.VirtualIPs, func(v api.VirtualIP) bool { return v.Addr() == prefix.Addr() })
			if !virtual && !prefix.IsSingleIP() && !prefix.Addr().IsLoopback() && !prefix.Addr().IsLinkLocalUnicast() {
				facts.Subnets[i.Name] = append(facts.Subnets[i.Name], prefix.Masked())
			}
		}
	}
	var memory unix.Sysinfo_t
	if unix.Sysinfo(&memory) == nil {
		facts.Memory = uint64(memory.Totalram) * uint64(memory.Unit)
	}
	return facts
}
