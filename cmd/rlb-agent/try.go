package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host/debian"
	"rlb.dev/rlb-agent/reconcile/state"
)

// graceTime is how long the timer of a trial may be late before this command ends the trial.
const graceTime = 10 * time.Second

var trialID = regexp.MustCompile(`^[A-Za-z0-9-]+$`) // of at most 64 characters

// trialOptions are the flags of try.
type trialOptions struct {
	timeout  time.Duration
	detach   bool
	id       string
	sha256   string
	replaces string
}

// tryCommand applies a spec that is undone unless it is confirmed.
func (a *app) tryCommand() *cobra.Command {
	var (
		options trialOptions
		end     bool
	)
	cmd := &cobra.Command{
		Use:   "try --timeout 120s FILE",
		Short: "Apply FILE, and go back by itself unless rlb-agent confirm is called in time",
		Example: "  rlb-agent try --timeout 10m new.yaml\n  rlb-agent try --detach new.yaml && curl -k https://192.168.3.240:9000/readyz && rlb-agent confirm\n" +
			"  rlb-agent try --end",
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			timeout := options.timeout
			switch {
			case options.id != "" && (len(options.id) > 64 || !trialID.MatchString(options.id)):
				return usageError{fmt.Errorf("cannot take %q as --id: it is 1 to 64 letters, digits and -", options.id)}
			case end && len(args) > 0:
				return usageError{fmt.Errorf("cannot end a trial and try %s at once: leave out --end or the file", args[0])}
			case end:
				return a.endTrial(cmd.Context(), options.id, a.specGiven(cmd))
			case len(args) != 1:
				return usageError{errors.New("cannot try nothing: rlb-agent try FILE")}
			case timeout < time.Second || timeout > 24*time.Hour:
				return usageError{fmt.Errorf("cannot try for %v: it is 1s to 24h", timeout)}
			}
			return a.try(cmd.Context(), args[0], options)
		},
	}
	cmd.Flags().DurationVar(&options.timeout, "timeout", 2*time.Minute, "how long to wait for rlb-agent confirm, 1s to 24h")
	cmd.Flags().BoolVar(&end, "end", false, "end the trial now and go back")
	cmd.Flags().BoolVar(&options.detach, "detach", false, "return once FILE is in force; it still goes back by itself")
	cmd.Flags().StringVar(&options.id, "id", "", "a name for this trial; with --end: end it only if it has this name")
	cmd.Flags().StringVar(&options.sha256, "sha256", "", "only if FILE has this SHA-256")
	cmd.Flags().StringVar(&options.replaces, "replaces", "", "only if the spec in force has this SHA-256")
	a.takeOverFlag(cmd)
	return cmd
}

func (a *app) try(ctx context.Context, file string, options trialOptions) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot tell where rlb-agent is: %w", err)
	}
	spec, err := filepath.Abs(a.spec)
	if err != nil {
		return usageError{err}
	}
	trial := state.Trial{ID: options.id, File: specName(file), Spec: spec, By: a.by, TakeOver: a.takeOver}
	var tried *api.Document
	err = a.changing(ctx, func(ctx context.Context, h *debian.Host) error {
		if err := noTrial(ctx, h); err != nil {
			return err
		}
		if err := replaceable(spec); err != nil { // confirm replaces this file
			return err
		}
		switch good, err := state.LastGood(ctx, h); {
		case err != nil:
			return &reconcile.Failure{Err: err}
		case good == nil:
			return usageError{errors.New("cannot try a spec where none was ever in force: there is nothing to go back to; use rlb-agent --once")}
		case options.replaces != "" && options.replaces != good.Digest:
			return &reconcile.Failure{Err: fmt.Errorf("cannot try a spec in place of sha256:%.12s: now sha256:%.12s is in force", options.replaces, good.Digest)}
		}
		if tried, err = a.specToTry(file); err != nil {
			return err
		}
		if options.sha256 != "" && options.sha256 != tried.Digest { // an interrupted connection also ends standard input
			return specError{fmt.Errorf("cannot try %s: its SHA-256 is %s, not %s", trial.File, tried.Digest, options.sha256)}
		}
		trial.Since = time.Now()
		trial.Deadline = trial.Since.Add(options.timeout)
		result, err := a.reconciler(h).BeginTrial(ctx, tried, trial, self+" try --end --lock-timeout 9m")
		a.leaveStatus(ctx, h, tried, result, err)
		if err != nil {
			return err
		}
		a.done(trial.File, result)
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "it goes back at %s unless: rlb-agent confirm\n", trial.Deadline.Format(time.TimeOnly))
	if options.detach {
		return nil
	}
	return a.awaitTrial(ctx, tried)
}

// specToTry reads the spec of a trial. Standard input is trusted: it comes from the user who runs this as root.
func (a *app) specToTry(file string) (*api.Document, error) {
	if file == "-" {
		return a.readSpec(file)
	}
	return trusted(file)
}

// awaitTrial waits until the trial is confirmed or over. Ctrl-C ends it at once.
func (a *app) awaitTrial(ctx context.Context, tried *api.Document) error {
	h, err := a.host()
	if err != nil {
		return err
	}
	defer h.Close()
	for {
		trial, err := state.RunningTrial(ctx, h)
		if err != nil {
			return &reconcile.Failure{Err: err}
		}
		if trial == nil {
			return a.trialOutcome(ctx, h, tried)
		}
		if trial.Over(time.Now().Add(-graceTime)) { // the timer has not ended it
			return errors.Join(a.endTrial(ctx, "", ""), a.trialOutcome(ctx, h, tried))
		}
		select {
		case <-ctx.Done():
			a.ran += ", interrupted" // the journal has an entry for the command already
			return a.endTrial(context.WithoutCancel(ctx), "", "")
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// trialOutcome prints how the trial ended: it was confirmed if its spec is in force for good.
func (a *app) trialOutcome(ctx context.Context, h *debian.Host, tried *api.Document) error {
	good, err := state.LastGood(ctx, h)
	switch {
	case err != nil:
		return &reconcile.Failure{Err: err}
	case good != nil && good.Digest == tried.Digest:
		fmt.Fprintln(a.stdout, "confirmed")
		return nil
	}
	return &reconcile.Failure{Err: errors.New("nobody confirmed"), Undone: true}
}

// specGiven is the value of --spec, "" if it is not given.
func (a *app) specGiven(cmd *cobra.Command) string {
	if !cmd.Flags().Changed("spec") {
		return ""
	}
	return a.spec
}

// forItsFile refuses a --spec that is not the file of the trial; "" is no --spec. do names the action that is refused, and
// goes what that action does with the file.
func forItsFile(trial *state.Trial, spec, do, goes string) error {
	if path, err := filepath.Abs(spec); spec != "" && (err != nil || path != trial.Spec) {
		return usageError{fmt.Errorf("cannot %s with --spec %s: %s %s", do, spec, goes, trial.Spec)}
	}
	return nil
}

// endTrial goes back to the spec file or, if that file is refused now, to the spec that was in force before. With an id
// it ends no other trial.
func (a *app) endTrial(ctx context.Context, id, spec string) error {
	return a.changing(ctx, func(ctx context.Context, h *debian.Host) error {
		trial, err := state.RunningTrial(ctx, h)
		if err != nil {
			return &reconcile.Failure{Err: err}
		}
		if trial != nil && id != "" && trial.ID != id {
			fmt.Fprintf(a.stdout, "nothing to end: trial %s is over\n", id)
			return nil
		}
		if trial == nil {
			return a.reconciler(h).EndTrial(ctx) // remove what may be left of an earlier trial
		}
		if err := forItsFile(trial, spec, "end the trial", "it goes back to"); err != nil {
			return err
		}
		doc, err := a.inForce(ctx, h, trial.Spec)
		if err != nil {
			return &reconcile.Failure{Err: err}
		}
		return a.leaveTrial(ctx, h, doc, "")
	})
}

// leaveTrial applies the spec that stays in force and ends the trial. what names the spec; "" is its file.
func (a *app) leaveTrial(ctx context.Context, h *debian.Host, doc *api.Document, what string) error {
	doc, result, err := a.reconciler(h).LeaveTrial(ctx, doc)
	a.leaveStatus(ctx, h, doc, result, err)
	if err != nil {
		return err
	}
	a.done(cmp.Or(what, doc.File), result)
	return nil
}

// inForce returns the spec file if it is valid, else the last spec that was in force.
func (a *app) inForce(ctx context.Context, h *debian.Host, path string) (*api.Document, error) {
	if doc, err := trusted(path); err == nil {
		return doc, nil
	}
	doc, err := state.LastGood(ctx, h)
	if err == nil && doc == nil {
		err = fmt.Errorf("cannot go back: %s is refused, and no spec was in force before", path)
	}
	return doc, err
}

// confirmCommand keeps the spec that is being tried.
func (a *app) confirmCommand() *cobra.Command {
	var id string
	cmd := &cobra.Command{
		Use:     "confirm",
		Short:   "Keep the spec that is tried: it becomes the spec file",
		Example: "  rlb-agent confirm",
		Args:    atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.changing(cmd.Context(), func(ctx context.Context, h *debian.Host) error {
				trial, err := state.RunningTrial(ctx, h)
				if err != nil {
					return &reconcile.Failure{Err: err}
				}
				if trial == nil || trial.Over(time.Now()) || id != "" && trial.ID != id {
					return usageError{errors.New("cannot confirm: no spec is tried, or its time is over")}
				}
				if err := forItsFile(trial, a.specGiven(cmd), "confirm", "what is tried becomes"); err != nil {
					return err
				}
				if err := replaceable(trial.Spec); err != nil {
					return err
				}
				doc, err := state.TrialSpec(ctx, h)
				if err != nil {
					return &reconcile.Failure{Err: err}
				}
				a.takeOver, a.keeps = trial.TakeOver, true // what was allowed for the trial stays allowed
				if err := a.replaceSpec(ctx, h, trial.Spec, doc.Data); err != nil {
					return &reconcile.Failure{Err: err}
				}
				return a.leaveTrial(ctx, h, doc, trial.Spec)
			})
		},
	}
	cmd.Flags().StringVar(&id, "id", "", "only the trial that has this name")
	return cmd
}
