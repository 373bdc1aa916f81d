package main

import (
	"fmt"
	"net"

	"github.com/spf13/cobra"
)

// takeOverFlag lets a command take virtual IPs from machines that are no load balancers of the spec.
func (a *app) takeOverFlag(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&a.takeOver, "take-over", nil, "take a new virtual IP although the machine with this `MAC` has it, for a migration")
}

// cleanTakeOver brings the MACs into the form in which neighbours are told, and notes them for the journal.
func (a *app) cleanTakeOver() error {
	for i, text := range a.takeOver {
		mac, err := net.ParseMAC(text)
		if err != nil || len(mac) != 6 {
			return usageError{fmt.Errorf("cannot take over from %q: it is a MAC such as 02:00:00:00:00:0a", text)}
		}
		a.takeOver[i] = mac.String()
		a.ran += " --take-over " + a.takeOver[i]
	}
	return nil
}
