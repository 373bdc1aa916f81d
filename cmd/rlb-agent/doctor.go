package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"rlb.dev/rlb-agent/reconcile/doctor"
)

// maxListen is the longest --listen: how long doctor listens for VRRP.
const maxListen = time.Minute

// doctorCommand reports what would go wrong on this host or its network. Exit code 1: there are findings.
func (a *app) doctorCommand() *cobra.Command {
	var (
		output string
		listen time.Duration
		all    bool
	)
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check what on this host or network would go wrong, each with its fix",
		Long: `doctor looks at this host and its network, before the first run and at any time after it, and prints what is wrong
or would go wrong, each with its fix. It changes nothing. It listens for VRRP for --listen, and takes at most 6 seconds
more. Run it as root: else it says which checks it could not make.

Exit codes: 0 no finding · 1 findings · 2 wrong use · 3 spec refused`,
		Example: `  rlb-agent doctor
  rlb-agent doctor --spec /etc/rlb/new.yaml --all
  rlb-agent doctor -o json --listen 10s`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := knownFormat(cmd, "findings", output); err != nil {
				return err
			}
			switch {
			case listen <= 0 || listen > maxListen:
				return usageError{fmt.Errorf("cannot listen for %v: --listen is more than 0s, and at most %v", listen, maxListen)}
			case a.spec == "-":
				return usageError{errors.New("cannot examine a host for standard input: give a file with --spec")}
			}
			report, err := a.examine(cmd.Context(), listen)
			if err != nil {
				return err
			}
			if err := encode(a.stdout, output, report, func() error { return doctorText(a.stdout, report, all) }); err != nil {
				return err
			}
			if len(report.Findings) > 0 {
				return errDifferent
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	cmd.Flags().DurationVar(&listen, "listen", 3*time.Second, "how long to listen for VRRP routers, at most 1m")
	cmd.Flags().BoolVarP(&all, "all", "v", false, "show the checks that passed too")
	return cmd
}

func (a *app) examine(ctx context.Context, listen time.Duration) (doctor.Report, error) {
	doc, err := a.readSpec(a.spec)
	if err != nil {
		return doctor.Report{}, err
	}
	h, err := a.host()
	if err != nil {
		return doctor.Report{}, err
	}
	defer h.Close()
	return doctor.Examine(ctx, h, doctor.Options{Doc: doc, Listen: listen, Now: time.Now()}), nil
}

// doctorText prints a block for each finding, the checks that could not be made, and a summary.
func doctorText(w io.Writer, r doctor.Report, all bool) error {
	var failed error
	line := func(format string, args ...any) {
		if _, err := fmt.Fprintf(w, format+"\n", args...); err != nil && failed == nil {
			failed = err
		}
	}
	for _, f := range r.Findings {
		line("%s: %s (%s)\n  %s\n  fix: %s\n", f.Severity, f.Title, f.Check, f.Message, f.Fix)
	}
	skipped := 0
	for _, c := range r.Checks {
		switch {
		case c.Result == doctor.Skipped:
			skipped++
			line("not checked: %s: %s", c.Check, c.Reason)
		case c.Result == doctor.Found && c.Reason != "":
			line("%s: %s\n", c.Check, c.Reason)
		case all && c.Result == doctor.Passed && c.Reason != "":
			line("passed: %s: %s", c.Check, c.Reason)
		case all && c.Result == doctor.Passed:
			line("passed: %s", c.Check)
		}
	}
	line("%d findings, %d checks, %d of them not made", len(r.Findings), len(r.Checks), skipped)
	return failed
}
