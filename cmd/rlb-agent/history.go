package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/aymanbagabas/go-udiff"
	"github.com/spf13/cobra"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian"
	"rlb.dev/rlb-agent/reconcile/state"
)

// historyCommand lists the specs that were in force, prints one, or compares two.
func (a *app) historyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "history",
		Short:   "List the kept generations of the spec, the one in force last",
		Example: "  rlb-agent history\n  rlb-agent history show 3\n  rlb-agent history diff 3 5",
		Args:    atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.onGenerations(cmd.Context(), a.listGenerations)
		},
	}
	cmd.AddCommand(&cobra.Command{
		Use:     "show [N]",
		Short:   "Print the spec of generation N, or of the one in force",
		Example: "  rlb-agent history show 3 > spec.yaml",
		Args:    atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onGenerations(cmd.Context(), func(ctx context.Context, h host.Observer, all []state.Generation) error {
				g, err := chosen(all, args, 0)
				if err != nil {
					return err
				}
				doc, err := g.Spec(ctx, h)
				if err != nil {
					return err
				}
				_, err = a.stdout.Write(doc.Data)
				return err
			})
		},
		ValidArgsFunction: a.completeGenerations(1),
	}, &cobra.Command{
		Use:     "diff N [M]",
		Short:   "Show how the spec of generation M, or of the one in force, differs from that of generation N",
		Example: "  rlb-agent history diff 3\n  rlb-agent history diff 3 5",
		Args:    atMost(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("cannot compare nothing: give the number of a generation (rlb-agent history lists them)")}
			}
			return a.onGenerations(cmd.Context(), func(ctx context.Context, h host.Observer, all []state.Generation) error {
				return a.diffGenerations(ctx, h, all, args)
			})
		},
		ValidArgsFunction: a.completeGenerations(2),
	})
	for _, c := range append([]*cobra.Command{cmd}, cmd.Commands()...) {
		withoutFile(c, "the specs that were in force")
	}
	return cmd
}

// onGenerations calls do with the kept generations.
func (a *app) onGenerations(ctx context.Context, do func(context.Context, host.Observer, []state.Generation) error) error {
	h, err := a.host()
	if err != nil {
		return err
	}
	defer h.Close()
	all, err := state.History(ctx, h)
	if err != nil {
		return err
	}
	return do(ctx, h, all)
}

// diffGenerations prints the difference from the spec of the first argument to that of the second.
func (a *app) diffGenerations(ctx context.Context, h host.Observer, all []state.Generation, args []string) error {
	var names, texts [2]string
	for i := range names {
		g, err := chosen(all, args, i)
		if err != nil {
			return err
		}
		doc, err := g.Spec(ctx, h)
		if err != nil {
			return err
		}
		names[i], texts[i] = fmt.Sprintf("generation %d", g.Number), string(doc.Data)
	}
	diff := udiff.Unified(names[0], names[1], texts[0], texts[1])
	if diff == "" {
		return nil
	}
	fmt.Fprint(a.stdout, diff)
	return errDifferent
}

func (a *app) listGenerations(ctx context.Context, h host.Observer, all []state.Generation) error {
	t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "GENERATION\tIN FORCE FROM\tBY\tSPEC\tCHANGE")
	var before *api.Document
	for i, g := range all {
		mark := ""
		if i == len(all)-1 {
			mark = " (in force)"
		}
		doc, err := g.Spec(ctx, h)
		fmt.Fprintf(t, "%d%s\t%s\t%s\tsha256:%.12s\t%s\n", g.Number, mark, g.Time.Local().Format("2006-01-02 15:04:05 MST"), g.By, g.Digest, summary(before, doc, err))
		before = doc
	}
	return t.Flush()
}

// shownChanges limits how many changes of a generation the list names.
const shownChanges = 2

// summary describes in one line what a generation changed.
func summary(before, doc *api.Document, err error) string {
	if err != nil {
		return "not known: " + err.Error()
	}
	if before == nil {
		return "" // the first that is kept, or the previous spec cannot be read
	}
	changes := api.Changes(before, doc)
	switch more := len(changes) - shownChanges; {
	case len(changes) == 0:
		return "comments or the order of fields only"
	case more > 0:
		return fmt.Sprintf("%s; and %d more", strings.Join(changes[:shownChanges], "; "), more)
	}
	return strings.Join(changes, "; ")
}

// chosen returns the generation that args[i] names, or the one in force if there is no such argument.
func chosen(all []state.Generation, args []string, i int) (state.Generation, error) {
	if i >= len(args) {
		if len(all) == 0 {
			return state.Generation{}, usageError{errors.New("cannot find the spec in force: there never was one on this host")}
		}
		return all[len(all)-1], nil
	}
	number, err := generationNumber(args[i])
	if err != nil {
		return state.Generation{}, err
	}
	g, err := state.Find(all, number)
	if err != nil {
		return g, usageError{err}
	}
	return g, nil
}

// kept returns a kept generation; a usageError if no generation has this number.
func kept(ctx context.Context, h host.Observer, number int) (state.Generation, *api.Document, error) {
	g, doc, err := state.Kept(ctx, h, number)
	if errors.Is(err, state.ErrNoGeneration) {
		err = usageError{err}
	}
	return g, doc, err
}

func generationNumber(arg string) (int, error) {
	number, err := strconv.Atoi(arg)
	if err != nil || number < 1 {
		return 0, usageError{fmt.Errorf("cannot find generation %q: give a number of the list that rlb-agent history prints", arg)}
	}
	return number, nil
}

// completeGenerations offers the kept generations for up to n arguments.
func (a *app) completeGenerations(n int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) (names []cobra.Completion, _ cobra.ShellCompDirective) {
		if len(args) >= n {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		a.log = slog.New(slog.DiscardHandler)
		_ = a.onGenerations(cmd.Context(), func(_ context.Context, _ host.Observer, all []state.Generation) error { // on an error the shell is offered nothing
			for _, g := range all {
				names = append(names, cobra.CompletionWithDesc(strconv.Itoa(g.Number), g.Time.Local().Format(time.DateTime)))
			}
			return nil
		})
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// rollbackCommand goes back to a kept generation, after the same checks as any edit.
func (a *app) rollbackCommand() *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:     "rollback [N]",
		Short:   "Go back to generation N of the spec, or to the one before the one in force",
		Example: "  rlb-agent rollback --dry-run\n  rlb-agent rollback 3",
		Args:    atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			number := 0 // 0: the generation before the one in force
			if len(args) == 1 {
				var err error
				if number, err = generationNumber(args[0]); err != nil {
					return err
				}
			}
			if dryRun {
				return a.rollbackPreview(cmd.Context(), number)
			}
			return a.changing(cmd.Context(), func(ctx context.Context, h *debian.Host) error {
				return a.rollback(ctx, h, number)
			})
		},
		ValidArgsFunction: a.completeGenerations(1),
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print what would be done, change nothing")
	a.takeOverFlag(cmd)
	return cmd
}

func (a *app) rollback(ctx context.Context, h *debian.Host, number int) error {
	generation, doc, err := kept(ctx, h, number)
	if err != nil {
		return err
	}
	if err := noTrial(ctx, h); err != nil {
		return err
	}
	if err := replaceable(a.spec); err != nil {
		return err
	}
	result, err := a.apply(ctx, h, doc)
	if err != nil {
		return err
	}
	// after Ctrl-C too: the daemon would go forward again to the spec file
	if err := a.replaceSpec(context.WithoutCancel(ctx), h, a.spec, doc.Data); err != nil {
		return &reconcile.Failure{Err: err}
	}
	a.done(fmt.Sprintf("generation %d", generation.Number), result)
	return nil
}

// rollbackPreview prints what a rollback would do.
func (a *app) rollbackPreview(ctx context.Context, number int) error {
	h, err := a.host()
	if err != nil {
		return err
	}
	defer h.Close()
	_, doc, err := kept(ctx, h, number)
	if err != nil {
		return err
	}
	return a.preview(ctx, h, doc)
}

// replaceSpec writes data to the spec file. If the file differs, its old text is kept as path +
// ".replaced".
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
