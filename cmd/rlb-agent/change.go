package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/user"
	"regexp"
	"strconv"
	"strings"
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

// changing does something that changes this host, alone: it is a host of ours, and no other agent is at work.
func (a *app) changing(ctx context.Context, do func(context.Context, *debian.Host) error) error {
	h, err := a.host()
	if err != nil {
		return err
	}
	defer h.Close()
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

// noteCommand notes in the journal what a person or a timer did to this host, also where the log goes to a terminal: a
// role change an hour later has its reason there.
func (a *app) noteCommand(took time.Duration, err error) {
	if !journal.Enabled() {
		return
	}
	level, text, attrs := a.commandNote(took, err)
	_ = logger.ToJournal(level, text, attrs) // the change counts, not its note
}

// commandNote is what the journal gets of a command that is done.
func (a *app) commandNote(took time.Duration, err error) (slog.Level, string, []slog.Attr) {
	outcome, level := "done", slog.LevelInfo
	if err != nil && !errors.Is(err, errDifferent) {
		outcome, level = strings.TrimPrefix(message(err), "rlb-agent: "), slog.LevelWarn
	}
	outcome, rest, _ := strings.Cut(outcome, "\n")
	if strings.HasSuffix(outcome, ":") { // a heading: what it announces is below it
		rest, _, _ = strings.Cut(rest, "\n")
		outcome += " " + strings.TrimSpace(rest)
	}
	return level, fmt.Sprintf("%s ran %s (%v): %s", a.by, a.ran, took.Round(time.Millisecond), outcome),
		[]slog.Attr{slog.String("command", a.ran), slog.String("by", a.by)}
}

// reconciler changes this host.
func (a *app) reconciler(h host.Host) *reconcile.Reconciler {
	return &reconcile.Reconciler{Host: h, Log: a.log, Note: journalLog(), By: a.by, Keeps: a.keeps, Rejoin: rejoinArgs(), TakeOver: a.takeOver}
}

// journalLog logs to the journal wherever the log goes; nil where there is none.
func journalLog() *slog.Logger {
	if !journal.Enabled() {
		return nil
	}
	log, _ := logger.New(io.Discard, "journal", "info") // fails for unknown formats and levels only
	return log
}

// apply reconciles the host with a spec, and leaves the status.
func (a *app) apply(ctx context.Context, h *debian.Host, doc *api.Document) (reconcile.Result, error) {
	result, err := a.reconciler(h).Once(ctx, doc)
	a.leaveStatus(ctx, h, doc, nil, result, err)
	return result, err
}

// leaveStatus writes the status file. The host is as it is without that, so what goes wrong there is only said.
func (a *app) leaveStatus(ctx context.Context, h host.Host, doc *api.Document, specErr error, result reconcile.Result, runErr error) {
	report := status.Report{Doc: doc, Refused: specErr, Result: result, Err: runErr, Agent: agentVersion()}
	if _, err := status.Write(ctx, h, report); err != nil {
		a.log.Warn(err.Error())
	}
}

// The length is no part of the pattern: each start would compile a program of that many steps, and the daemon keep it.
var userName = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// isUser says whether this may be the name of a user or a machine. The environment is the caller's to set.
func isUser(name string) bool { return len(name) <= 64 && userName.MatchString(name) }

// isPerson says whether this may be who asks for a change: a user, or user@machine.
func isPerson(name string) bool {
	name, machine, remote := strings.Cut(name, "@")
	return isUser(name) && (!remote || isUser(machine))
}

// caller is who called, by name where there is one: behind sudo, the person.
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

// noTrial refuses to change a host on which a spec is tried: what is in force is not what the spec file says.
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

// done says how a change ended.
func (a *app) done(what string, result reconcile.Result) {
	took := result.Time.Round(time.Millisecond)
	if len(result.Steps) == 0 {
		fmt.Fprintf(a.stdout, "nothing to do: in sync with %s (%v)\n", what, took)
		return
	}
	fmt.Fprintf(a.stdout, "done: in sync with %s (%d steps, %v)\n", what, len(result.Steps), took)
}

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
