package lab

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// RunError describes how a command failed.
type RunError struct {
	Args   []string
	Code   int // the exit code; -1 if a signal ended the command
	Stdout string
	Stderr string
	Err    error
}

// Error names the command, how it ended, and what it wrote to standard error.
func (e *RunError) Error() string {
	said := strings.TrimSpace(e.Stderr)
	if said == "" {
		said = strings.TrimSpace(e.Stdout)
	}
	return fmt.Sprintf("cannot run %q: %v: %s", strings.Join(e.Args, " "), e.Err, said)
}

// Unwrap returns the error of os/exec or of the context.
func (e *RunError) Unwrap() error { return e.Err }

// command prepares a command that is killed with all of its children when ctx ends.
func command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	// The real command may be a grandchild, because nsenter forks; so the process group is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	return cmd
}

// output runs cmd to its end and returns its standard output; shown is the command's name in an error.
func output(ctx context.Context, cmd *exec.Cmd, shown []string) (string, error) {
	stdout, _, err := outputs(ctx, cmd, shown)
	return stdout, err
}

// outputs is output that also returns what was written to standard error.
func outputs(ctx context.Context, cmd *exec.Cmd, shown []string) (string, string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err == nil {
		return stdout.String(), stderr.String(), nil
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	code := -1
	if cmd.ProcessState != nil {
		code = cmd.ProcessState.ExitCode()
	}
	return stdout.String(), stderr.String(), &RunError{Args: shown, Code: code, Stdout: stdout.String(), Stderr: stderr.String(), Err: err}
}

// run runs a command on the machine itself and returns its standard output.
func run(ctx context.Context, args ...string) (string, error) {
	return output(ctx, command(ctx, args...), args)
}

// feed runs a command on the machine itself with text as its standard input.
func feed(ctx context.Context, stdin string, args ...string) error {
	cmd := command(ctx, args...)
	cmd.Stdin = strings.NewReader(stdin)
	_, err := output(ctx, cmd, args)
	return err
}
