package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
)

// rejoinArgs are the command line of rejoinCommand, or nil where this program cannot be found.
func rejoinArgs() []string {
	self, err := os.Executable()
	if err != nil {
		return nil
	}
	return []string{self, "rejoin"}
}

// rejoinCommand is what runs in a unit of its own while this host is kept out of a virtual router that its peer is not
// in yet: it starts keepalived when the peer has left the former one. It waits for nobody else, and needs no lock.
func (a *app) rejoinCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "rejoin",
		Short:  "Start keepalived once the peer has left the former virtual router",
		Args:   atMost(0),
		Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			h, err := a.host()
			if err != nil {
				return err
			}
			defer h.Close()
			former, err := state.ReadFormer(ctx, h)
			if err != nil || former == nil {
				return err
			}
			in, err := state.ReadInForce(ctx, h)
			if err != nil {
				return err
			}
			a.log.Info(fmt.Sprintf("keepalived joins once no peer is the former virtual router any more (%v)", former))
			pair := in == nil || len(in.Peers) < 2 // of more than two, another one takes over from who says goodbye
			if err := h.AwaitSilence(ctx, former.Interface, former.Identities, former.Silence(), pair); err != nil {
				return err
			}
			a.log.Info("no peer is the former virtual router any more: keepalived joins")
			if err := h.StartUnit(ctx, host.KeepalivedUnit); err != nil {
				return err
			}
			return former.Forget(ctx, h)
		},
	}
}
