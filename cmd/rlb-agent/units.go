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

// clearFaultCommand is called by systemd whenever the daemon has ended: the fault that the daemon set for keepalived
// must not keep this host out for ever. It waits for nothing and needs no lock.
func (a *app) clearFaultCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "clear-fault",
		Short:  "Clear the fault flag of a daemon that has ended",
		Args:   atMost(0),
		Hidden: true,
		RunE: func(*cobra.Command, []string) error {
			// written in place, never created: keepalived watches this file and creates it itself
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

// rejoinArgs returns the command line of rejoinCommand; nil if the path of this program is not known.
func rejoinArgs() []string {
	self, err := os.Executable()
	if err != nil {
		return nil
	}
	return []string{self, "rejoin"}
}

// rejoinCommand runs in a unit of its own while this host is kept out of a virtual router that a peer has not joined
// yet: it starts keepalived when the last peer has left the former virtual router. It waits for nothing else and needs
// no lock.
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
