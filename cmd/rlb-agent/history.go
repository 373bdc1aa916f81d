package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host/debian"
	"rlb.dev/rlb-agent/reconcile/state"
)

// historyCommand lists the specs that were in force.
func (a *app) historyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "history",
		Short: "List the kept generations of the spec, the one in force last",
		Args:  atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := a.host()
			if err != nil {
				return err
			}
			defer h.Close()
			history, err := state.History(cmd.Context(), h)
			if err != nil {
				return err
			}
			t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "GENERATION\tIN FORCE FROM\tBY\tSPEC")
			for i, g := range history {
				mark := ""
				if i == len(history)-1 {
					mark = " (in force)"
				}
				fmt.Fprintf(t, "%d%s\t%s\t%s\tsha256:%.12s\n", g.Number, mark, g.Time.Format(time.RFC3339), g.By, g.Digest)
			}
			return t.Flush()
		},
	}
}

// rollbackCommand goes back to a kept generation, through the same checks as any edit.
func (a *app) rollbackCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rollback [N]",
		Short: "Go back to generation N of the spec, or to the one before the one in force",
		Args:  atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			number := 0
			if len(args) == 1 {
				var err error
				if number, err = strconv.Atoi(args[0]); err != nil || number < 1 {
					return usageError{fmt.Errorf("cannot go back to generation %q: it is no number (rlb-agent history lists them)", args[0])}
				}
			}
			return a.changing(cmd.Context(), func(ctx context.Context, h *debian.Host) error {
				generation, doc, err := state.Kept(ctx, h, number)
				if errors.Is(err, state.ErrNoGeneration) {
					return usageError{err}
				} else if err != nil {
					return err
				}
				if err := noTrial(ctx, h); err != nil {
					return err
				}
				result, err := a.apply(ctx, h, doc)
				if err != nil {
					return err
				}
				if err := a.replaceSpec(ctx, h, a.spec, doc.Data); err != nil {
					return &reconcile.Failure{Err: err}
				}
				a.done(fmt.Sprintf("generation %d", generation.Number), result)
				return nil
			})
		},
	}
}

// replaceSpec puts a spec in the place of the user's, and keeps that one beside it where it was another.
func (a *app) replaceSpec(ctx context.Context, h *debian.Host, path string, data []byte) error {
	old, err := h.File(ctx, path)
	if err != nil {
		return err
	}
	if old.Exists && string(old.Data) == string(data) {
		return nil
	}
	mode := os.FileMode(0o644)
	if old.Exists {
		mode = old.Mode
		aside := path + ".replaced"
		if err := h.WriteFile(ctx, aside, old.Data, old.Mode, old.UID, old.GID); err != nil {
			return fmt.Errorf("cannot keep the spec that is replaced: %w", err)
		}
		a.log.Info(fmt.Sprintf("%s is replaced; it is kept as %s", path, aside))
	}
	return h.WriteFile(ctx, path, data, mode, old.UID, old.GID)
}
