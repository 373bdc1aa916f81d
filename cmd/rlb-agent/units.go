package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"rlb.dev/rlb-agent/reconcile/failover"
	"rlb.dev/rlb-agent/render"
)

// clearFaultCommand is what systemd calls when the daemon has ended, however it did: a fault that it told keepalived
// of is not to keep this host out for ever. It waits for nobody, and needs no lock.
func (a *app) clearFaultCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "clear-fault",
		Short:  "Clear the fault flag of a daemon that has ended",
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

// rejoinCommand is what runs in a unit of its own while this host is kept out of a virtual router that a peer is not
// in yet: it starts keepalived when the last peer has left the former one. It waits for nobody else, and needs no lock.
func (a *app) rejoinCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "rejoin",
		Short:  "Start keepalived when no peer uses the former virtual router any more",
		Args:   atMost(0),
		Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := a.host()
			if err != nil {
				return err
			}
			defer h.Close()
			return failover.Rejoin(cmd.Context(), h, a.log)
		},
	}
}
