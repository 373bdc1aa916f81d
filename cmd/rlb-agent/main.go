// Command rlb-agent makes this machine one of a pair of redundant load balancers, as one spec file says.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"rlb.dev/rlb-agent/api/yamlfile"
	"rlb.dev/rlb-agent/cmd/rlb-agent/remote"
	"rlb.dev/rlb-agent/cmd/rlb-agent/terminal"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/plan"
)

// Exit codes. They are part of the contract with scripts and must not change.
const (
	exitDone        = 0 // done, nothing left to do
	exitDifferent   = 1 // differences found (diff, --dry-run), not ready (status), or findings (doctor)
	exitUsage       = 2 // wrong use of the command line, or this machine cannot do it; nothing touched
	exitRefused     = 3 // spec refused or not to be read; nothing touched
	exitFailed      = 4 // apply failed; what was there before is in force again
	exitNeedsPerson = 5 // apply failed and could not be undone
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal kills the program at once: a read may block for ever
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run runs the program and returns its exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	out := &output{to: terminal.Safe(stdout)}
	stderr = terminal.Safe(stderr)
	a := &app{stdin: stdin, stdout: out, stderr: stderr, by: caller()}
	command := a.command()
	command.SetArgs(args)
	err := out.checked(command.ExecuteContext(ctx))
	text := message(err)
	if problems := (yamlfile.Problems)(nil); errors.As(err, &problems) {
		text = a.problems(problems)
	}
	for _, refusal := range host.Refusals(err) {
		for _, p := range refusal.Problems() {
			text = strings.Replace(text, p.String(), a.problems(yamlfile.Problems{p}), 1)
		}
	}
	if text != "" {
		fmt.Fprintln(stderr, text)
	}
	return exitCode(err)
}

// output is standard output; it keeps the first write error.
type output struct {
	to  io.Writer
	err error
}

func (o *output) Write(text []byte) (int, error) {
	n, err := o.to.Write(text)
	if o.err == nil {
		o.err = err
	}
	return n, err
}

// Unwrap returns the underlying writer.
func (o *output) Unwrap() io.Writer { return o.to }

// checked returns the error of the command. A command that succeeded but could not print its result
// returns a usageError.
func (o *output) checked(err error) error {
	failure := (*reconcile.Failure)(nil)
	switch code := exitCode(err); {
	case o.err == nil, errors.As(err, &failure):
		return err
	case code != exitDone && code != exitDifferent && code != exitFailed: // exitFailed may be the write error itself
		return err
	}
	return usageError{fmt.Errorf("cannot write to standard output: %w", o.err)}
}

// errDifferent means "differences found": not a failure, but exit code 1.
var errDifferent = errors.New("differences found")

// usageError reports a wrong use of the command line (exit code 2).
type usageError struct{ error }

// specError reports a spec that cannot be read or is not trusted (exit code 3).
type specError struct{ error }

func (e specError) Unwrap() error { return e.error }

func exitCode(err error) int {
	var (
		problems yamlfile.Problems
		refusal  *host.Refusal
		failure  *reconcile.Failure
		usage    usageError
		spec     specError
		field    *plan.FieldError
		others   *remote.Failure
	)
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errDifferent):
		return exitDifferent
	case errors.As(err, &others):
		return others.Code
	case errors.As(err, &failure):
		if failure.Undo != nil {
			return exitNeedsPerson
		}
		return exitFailed
	case errors.As(err, &usage), errors.Is(err, host.ErrUnavailable):
		return exitUsage
	case errors.As(err, &problems), errors.As(err, &refusal), errors.As(err, &spec), errors.As(err, &field):
		return exitRefused
	}
	return exitFailed
}

// message returns the text of an error for the user.
func message(err error) string {
	others := (*remote.Failure)(nil)
	if err == nil || errors.Is(err, errDifferent) || errors.As(err, &others) && others.Err == nil {
		return ""
	}
	text, located := reconcile.Message(err)
	if located {
		return text
	}
	return "rlb-agent: " + text
}

// problems formats one line for each problem; on a terminal with an excerpt of the file.
func (a *app) problems(problems yamlfile.Problems) string {
	if terminal.Is(a.stderr) {
		return problems.Excerpts()
	}
	return problems.Error()
}
