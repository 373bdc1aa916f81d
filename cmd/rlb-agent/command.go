package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"rlb.dev/rlb-agent/cmd/rlb-agent/daemon"
	"rlb.dev/rlb-agent/cmd/rlb-agent/effect"
	"rlb.dev/rlb-agent/cmd/rlb-agent/logger"
	"rlb.dev/rlb-agent/cmd/rlb-agent/suggest"
	"rlb.dev/rlb-agent/cmd/rlb-agent/terminal"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian"
)

const defaultSpec = "/etc/rlb/spec.yaml"

// app holds what the subcommands share: the streams and the common flags.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer

	spec        string
	lockTimeout time.Duration
	logFormat   string
	logLevel    string
	takeOver    []string // MACs of machines from which a virtual IP may be taken
	keeps       bool     // the command keeps the spec that is being tried

	lately lately // the last events, for the status

	log *slog.Logger
	by  string // the person who asked for a change, for the history
	ran string // the command and its arguments, for the journal
}

// command builds the whole command line.
func (a *app) command() *cobra.Command {
	var once, dryRun bool
	root := &cobra.Command{
		Use:   "rlb-agent",
		Short: "Keeps this machine one of a pair of redundant load balancers, as one spec file says",
		Long: `rlb-agent keeps this machine one of a pair of redundant load balancers (HAProxy and Keepalived), as one spec file
says. Without a subcommand it is the daemon: it reconciles at start, then whenever the spec changes, until SIGTERM.

Exit codes: 0 done · 1 differences found · 2 wrong use, or this machine cannot do it; nothing touched · 3 spec refused;
nothing touched · 4 apply failed, what was there before is in force again · 5 apply failed and could not be undone`,
		Example:       "  rlb-agent --once --dry-run\n  rlb-agent --once\n  systemctl enable --now rlb-agent",
		Args:          atMost(0),
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, args []string) (err error) {
			daemon.SaveTime()
			a.ran = commandLine(cmd, args)
			if err := a.cleanTakeOver(); err != nil {
				return err
			}
			if a.lockTimeout < 0 {
				return usageError{fmt.Errorf("cannot wait for %v: --lock-timeout is 0s or more", a.lockTimeout)}
			}
			if a.by != "" && !isPerson(a.by) && a.by != caller() {
				return usageError{fmt.Errorf("cannot use --by %q: it is a name, or name@machine", a.by)}
			}
			if a.log, err = logger.New(a.stderr, a.logFormat, a.logLevel); err != nil {
				return usageError{err}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case dryRun && !once:
				return usageError{fmt.Errorf("cannot use --dry-run without --once")}
			case len(a.takeOver) > 0 && !once:
				return usageError{fmt.Errorf("cannot use --take-over without --once")}
			case dryRun:
				return a.dryRun(cmd.Context())
			case once:
				return a.once(cmd.Context())
			}
			return a.daemon(cmd.Context())
		},
	}
	root.Flags().BoolVar(&once, "once", false, "reconcile once, then exit")
	root.Flags().BoolVar(&dryRun, "dry-run", false, "with --once: print what would be done, change nothing")
	a.takeOverFlag(root)
	common := root.PersistentFlags()
	common.StringVar(&a.spec, "spec", defaultSpec, "the spec file; - is standard input for validate and render")
	common.DurationVar(&a.lockTimeout, "lock-timeout", time.Minute, "how long to wait for another rlb-agent to end")
	common.StringVar(&a.logFormat, "log-format", "", "text, json or journal (default: journal under systemd, else text)")
	common.StringVar(&a.logLevel, "log-level", "info", "debug, info, warn or error")
	common.StringVar(&a.by, "by", a.by, "who asks for it, where that is a person on another machine")
	_ = common.MarkHidden("by") // fails for unknown flags only

	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.SetHelpCommand(a.helpCommand())
	root.AddCommand(a.initCommand(), a.importCommand(), a.validateCommand(), a.renderCommand(), a.diffCommand(), a.statusCommand(), a.schemaCommand(), a.explainCommand(), a.versionCommand(),
		a.historyCommand(), a.rollbackCommand(), a.tryCommand(), a.confirmCommand(), a.pushCommand(), a.drainCommand(),
		a.undrainCommand(), a.upgradeCommand(), a.teardownCommand(), a.eventsCommand(), a.doctorCommand(), a.clearFaultCommand(),
		a.rejoinCommand())
	addCompletion(root)
	a.completeFlags(root)
	return root
}

// commandLine returns the command with its arguments and its own flags, for the journal. It leaves out the flags that
// all commands have. cleanTakeOver adds --take-over with normalized MACs.
func commandLine(cmd *cobra.Command, args []string) string {
	words := append([]string{cmd.CommandPath()}, args...)
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		switch {
		case !f.Changed || f.Name == "take-over":
		case f.Value.Type() == "bool" && f.Value.String() == "true":
			words = append(words, "--"+f.Name)
		default:
			words = append(words, "--"+f.Name+"="+f.Value.String())
		}
	})
	return strings.Join(words, " ")
}

// atMost is cobra.MaximumNArgs, but its error is a usageError (exit code 2).
func atMost(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			hint := "see " + cmd.CommandPath() + " --help"
			if near := suggest.Nearest(args[n], commandNames(cmd)); len(near) > 0 {
				hint = "did you mean " + strings.Join(near, " or ") + "?"
			}
			return usageError{fmt.Errorf("cannot understand %q for %s: %s", args[n], cmd.Name(), hint)}
		}
		return nil
	}
}

// host returns the real machine. Slow operations report progress: on a terminal in a line that is overwritten, else in
// the debug log.
func (a *app) host() (*debian.Host, error) { return a.hostWith(func(string) {}) }

// hostWith is host; it also passes each progress line to also, unless standard error is a terminal.
func (a *app) hostWith(also func(line string)) (*debian.Host, error) {
	progress := func(line string) { also(line); a.log.Debug(line) }
	if terminal.Is(a.stderr) && a.logFormat != "json" {
		progress = func(line string) {
			fmt.Fprintf(terminal.Raw(a.stderr), terminal.EraseLine+"%.100s\r", host.Clean(line))
		}
	}
	return debian.New(debian.Options{Log: a.log, Progress: progress, LockTimeout: a.lockTimeout, Effect: effect.Hook})
}

// commandNames returns the subcommands that the help of cmd lists.
func commandNames(cmd *cobra.Command) []string {
	var names []string
	for _, command := range cmd.Commands() {
		if command.IsAvailableCommand() {
			names = append(names, command.Name())
		}
	}
	return names
}
