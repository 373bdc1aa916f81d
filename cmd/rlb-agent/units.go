package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"

	"github.com/spf13/cobra"

	"rlb.dev/rlb-agent/reconcile/failover"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render"
)

// clearFaultCommand is what systemd calls when the daemon has ended, however it did: a fault that it told keepalived
// of is not to keep this host out for ever. It waits for nobody, and needs no lock.
func (a *app) clearFaultCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "clear-fault",
		Short:  "Take back what a daemon that has ended told keepalived",
		Args:   atMost(0),
		Hidden: true,
		RunE: func(*cobra.Command, []string) error {
			// written in place, and never made: keepalived watches this file, and makes it where it wants it
			file, err := os.OpenFile(render.FaultFile, os.O_WRONLY|os.O_TRUNC, 0)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil {
				_, err = file.WriteString(render.TrackedText(false))
				err = errors.Join(err, file.Close())
			}
			if err != nil {
				return fmt.Errorf("cannot clear the fault: %w", err)
			}
			return nil
		},
	}
}

// rejoinArgs are the command line of rejoinCommand, or nil where this program cannot be found.
func rejoinArgs() []string {
	self, err := os.Executable()
	if err != nil {
		return nil
	}
	return []string{self, "rejoin"}
}

// held says whether another machine holds the virtual IPs of the spec in force, which may change meanwhile, apart from the
// virtual router that this host is to join.
func held(ctx context.Context, h *debian.Host, from []netip.Prefix) (bool, error) {
	in, err := state.ReadInForce(ctx, h)
	if err != nil || in == nil {
		return err == nil, err
	}
	return failover.HeldApart(ctx, h, *in, from)
}

// rejoinCommand is what runs in a unit of its own while this host is kept out of a virtual router that a peer is not
// in yet: it starts keepalived when the last peer has left the former one. It waits for nobody else, and needs no lock.
func (a *app) rejoinCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "rejoin",
		Short:  "Start keepalived once no peer is the former virtual router any more",
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
			silent, err := h.AwaitSilence(ctx, debian.Silence{
				Interface: former.Interface, Identities: former.Identities, From: former.From,
				Silence: former.Silence(), AfterGoodbye: former.AfterGoodbye(in),
				Held: func(ctx context.Context) (bool, error) { return held(ctx, h, former.From) },
			})
			if err != nil {
				return err
			}
			if silent {
				a.log.Info("no peer is the former virtual router any more: keepalived joins")
			} else {
				a.log.Warn("a machine still advertises the former virtual router, and is not its master: keepalived joins")
			}
			if err := h.StartUnit(ctx, host.KeepalivedUnit); err != nil {
				return err
			}
			return former.Forget(ctx, h)
		},
	}
}
