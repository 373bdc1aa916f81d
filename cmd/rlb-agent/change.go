package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"os/user"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
	"github.com/spf13/cobra"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/cmd/rlb-agent/logger"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/status"
)

// changing runs do, which changes this host, under the lock that keeps other agents out. It refuses an unsupported
// machine (Host.Ready).
func (a *app) changing(ctx context.Context, do func(context.Context, *debian.Host) error) error {
	h, err := a.host()
	if err != nil {
		return err
	}
	defer h.Close()
	ctx, stop := untilTerminalLost(ctx)
	defer stop()
	if err := h.Ready(ctx); err != nil {
		return err
	}
	unlock, err := h.Lock(ctx, a.lockTimeout)
	if err != nil {
		return &reconcile.Failure{Err: err}
	}
	defer unlock()
	began := time.Now()
	err = do(ctx, h)
	a.noteCommand(time.Since(began), err)
	return err
}

// untilTerminalLost stops a change in order, as Ctrl-C does, if its terminal or ssh connection is lost; SIGHUP would end the
// program between any two steps. SIGPIPE would do so at the next line if its output is closed. It is ignored, not a reason
// to stop: a program that ends before it has read its input causes it too. It is caught, since programs would inherit that it
// is ignored.
func untilTerminalLost(ctx context.Context) (context.Context, context.CancelFunc) {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	if signal.Ignored(syscall.SIGHUP) { // by nohup
		return ctx, func() {}
	}
	return signal.NotifyContext(ctx, syscall.SIGHUP)
}

// noteCommand writes to the journal what a person or a timer did to this host, even if the log goes to a terminal:
// events finds the reason of a role change an hour later there.
func (a *app) noteCommand(took time.Duration, err error) {
	if !journal.Enabled() {
		return
	}
	level, text, attrs := a.commandNote(took, err)
	_ = logger.ToJournal(level, text, attrs) // the change counts, not its entry in the journal
}

// commandNote returns the journal entry of a command that has ended.
func (a *app) commandNote(took time.Duration, err error) (slog.Level, string, []slog.Attr) {
	outcome, level := "done", slog.LevelInfo
	if err != nil && !errors.Is(err, errDifferent) {
		outcome, level = strings.TrimPrefix(message(err), "rlb-agent: "), slog.LevelWarn
	}
	outcome, rest, _ := strings.Cut(outcome, "\n")
	if strings.HasSuffix(outcome, ":") { // a heading: the next line has the cause
		rest, _, _ = strings.Cut(rest, "\n")
		outcome += " " + strings.TrimSpace(rest)
	}
	return level, fmt.Sprintf("%s ran %s (%v): %s", a.by, a.ran, took.Round(time.Millisecond), outcome),
		[]slog.Attr{slog.String("command", a.ran), slog.String("by", a.by)}
}

// reconciler returns a Reconciler with the options of this command.
func (a *app) reconciler(h host.Host) *reconcile.Reconciler {
	return &reconcile.Reconciler{Host: h, Log: a.log, Note: journalLog(), By: a.by, Keeps: a.keeps, Rejoin: rejoinArgs(), TakeOver: a.takeOver}
}

// journalLog returns a logger to the journal, wherever a.log goes; nil if there is no journal.
func journalLog() *slog.Logger {
	if !journal.Enabled() {
		return nil
	}
	log, _ := logger.New(io.Discard, "journal", "info") // fails for unknown formats and levels only
	return log
}

// apply reconciles the host with a spec and writes the status file.
func (a *app) apply(ctx context.Context, h *debian.Host, doc *api.Document) (reconcile.Result, error) {
	result, err := a.reconciler(h).Once(ctx, doc)
	a.leaveStatus(ctx, h, doc, result, err)
	return result, err
}

// leaveStatus writes the status file. The file does not affect the host, so a failure is only logged.
func (a *app) leaveStatus(ctx context.Context, h host.Host, doc *api.Document, result reconcile.Result, runErr error) {
	report := status.Report{Doc: doc, Result: result, Err: runErr, Agent: agentVersion()}
	if _, err := status.Write(ctx, h, report); err != nil {
		a.log.Warn(err.Error())
	}
}

// The pattern does not limit the length: each start would compile a program of that many steps, and the daemon would
// keep it in memory.
var userName = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// isUser reports whether name can be the name of a user or a machine. The caller controls its environment, so its
// values are not trusted.
func isUser(name string) bool { return len(name) <= 64 && userName.MatchString(name) }

// isPerson reports whether name can name the person who asks for a change: user or user@machine.
func isPerson(name string) bool {
	name, machine, remote := strings.Cut(name, "@")
	return isUser(name) && (!remote || isUser(machine))
}

// caller returns the name of the user who called; behind sudo, the user who called sudo. Without a name it returns the
// user ID.
func caller() string {
	for _, name := range []string{"SUDO_USER", "USER", "LOGNAME"} {
		if name := os.Getenv(name); isUser(name) {
			return name
		}
	}
	if account, err := user.LookupId(strconv.Itoa(os.Getuid())); err == nil && isUser(account.Username) {
		return account.Username
	}
	return fmt.Sprintf("user %d", os.Getuid())
}

// noTrial refuses to change a host on which a spec is being tried: the spec in force is not the spec file.
func noTrial(ctx context.Context, h *debian.Host) error {
	trial, err := state.RunningTrial(ctx, h)
	if err != nil {
		return &reconcile.Failure{Err: err}
	}
	if trial == nil || trial.Over(time.Now()) {
		return nil
	}
	return &reconcile.Failure{Err: fmt.Errorf("cannot change this host while %v: rlb-agent confirm keeps it", trial)}
}

// done prints how a change ended.
func (a *app) done(what string, result reconcile.Result) {
	took := result.Time.Round(time.Millisecond)
	if len(result.Steps) == 0 {
		fmt.Fprintf(a.stdout, "nothing to do: in sync with %s (%v)\n", what, took)
		return
	}
	fmt.Fprintf(a.stdout, "done: in sync with %s (%d steps, %v)\n", what, len(result.Steps), took)
}

// takeOverFlag adds --take-over: the command may take virtual IPs from machines that are not load balancers of the
// spec.
func (a *app) takeOverFlag(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&a.takeOver, "take-over", nil, "take a new virtual IP although the machine with this `MAC` has it, for a migration")
}

// cleanTakeOver converts the MACs to the form that Neighbours returns, and adds them to the journal's command line.
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
