// Package program runs programs of this machine: without a shell, with a fixed PATH and environment, with a time limit,
// and as a process group that is killed as a whole.
package program

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
)

// A Command is one run of a program; no shell is involved.
type Command struct {
	Name  string // searched in searchPath
	Args  []string
	Stdin string
	Limit time.Duration // time limit; 0 means usualLimit, NoLimit is for a program that must not be killed
}

// usualLimit is far longer than any program needs that only reads, checks or loads rules: keepalived 2.3.3 -t can run
// forever.
const usualLimit = time.Minute

// NoLimit is for programs that change packages: a killed dpkg leaves packages half installed.
const NoLimit = time.Duration(-1)

func (c Command) String() string { return strings.Join(append([]string{c.Name}, c.Args...), " ") }

// Output is the result of a command.
type Output struct {
	Stdout, Stderr string
	Code           int            // exit status; -1 if a signal ended it
	Signal         syscall.Signal // the signal that ended it, or 0
}

// System runs programs: Machine, or recorded answers in tests.
type System interface {
	// Find returns the absolute path of a program. The error wraps host.ErrUnavailable if the program does not exist.
	Find(program string) (string, error)
	// Run runs a command to its end. An exit with a failure is no error: an error means that the command could not run, or
	// did not end in time.
	Run(ctx context.Context, c Command) (Output, error)
}

// searchPath lists the directories of programs.
var searchPath = []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// Environment is the whole environment of the programs.
var Environment = []string{
	"PATH=/usr/local/sbin:/usr/local/bin:" + strings.Join(searchPath, ":"), // dpkg needs ldconfig and the like
	"HOME=/root",
	"LC_ALL=C",
	"DEBIAN_FRONTEND=noninteractive",
	"APT_LISTCHANGES_FRONTEND=none",
	"NEEDRESTART_SUSPEND=1",
}

// Machine is the real System.
type Machine struct {
	Log *slog.Logger // logs every command at debug level, with its duration
}

// Find returns the absolute path of a program in searchPath.
func (Machine) Find(program string) (string, error) {
	for _, dir := range searchPath {
		path := filepath.Join(dir, program)
		if fi, err := os.Stat(path); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", host.Unavailable(program+" is not installed", nil)
}

// Run runs a command to its end, or kills it when its limit is reached or ctx ends.
func (m Machine) Run(ctx context.Context, c Command) (Output, error) {
	path, err := m.Find(c.Name)
	if err != nil {
		return Output{}, err
	}
	if err := ctx.Err(); err != nil {
		return Output{}, err
	}
	ctx, cancel := c.limited(ctx)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := Prepare(ctx, path, c.Args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(c.Stdin), &stdout, &stderr
	cmd.WaitDelay = time.Second // a process that has left the group can hold our pipes

	began := time.Now()
	err = cmd.Run()
	took := time.Since(began).Round(time.Microsecond)
	if cut := context.Cause(ctx); cut != nil {
		m.Log.DebugContext(ctx, "killed", "command", c.String(), "took", took, "err", cut)
		return Output{}, fmt.Errorf("%s: %w", c.Name, cut)
	}
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended { // it may not have started at all
		return Output{}, fmt.Errorf("%s: %w", c.Name, err)
	}
	out := Output{Stdout: stdout.String(), Stderr: host.Clean(stderr.String()), Code: cmd.ProcessState.ExitCode()}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		out.Signal = ws.Signal()
	}
	m.Log.DebugContext(ctx, "ran", "command", c.String(), "code", out.Code, "took", took)
	return out, nil
}

// limited returns ctx with the command's time limit. The cause of the timeout names the command.
func (c Command) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := c.Limit
	switch limit {
	case NoLimit:
		return context.WithCancel(ctx)
	case 0:
		limit = usualLimit
	}
	return context.WithTimeoutCause(ctx, limit, fmt.Errorf("%q did not end within %v and was killed: %w", c, limit, context.DeadlineExceeded))
}

// Prepare makes a program ready to run; of this process the program gets only its arguments. The program leads its own
// process group, which is killed as a whole: its child processes must not outlive it, and no signal of our terminal reaches
// it.
func Prepare(ctx context.Context, path string, args ...string) *exec.Cmd {
	// #nosec G204 -- no shell, and the callers name the program; what comes from the spec is checked by its rules
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.Env = "/", Environment
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return KillGroup(cmd.Process.Pid) }
	return cmd
}

// KillGroup kills a started program of Prepare, with all its child processes.
func KillGroup(pid int) error { return syscall.Kill(-pid, syscall.SIGKILL) }

// A Runner runs commands that must succeed, and waits for other programs' locks.
type Runner struct {
	System
	Progress    func(line string) // receives messages for the user during a long run
	LockTimeout time.Duration     // how long to wait for a lock of apt, dpkg or iptables
	Pause       time.Duration     // between two attempts to get a lock
}

// Do runs a command that must succeed. The error is "cannot DO: program: its last words".
func (r *Runner) Do(ctx context.Context, do string, c Command) (Output, error) {
	out, err := r.Run(ctx, c)
	if err != nil {
		return Output{}, host.Cannot(do, err)
	}
	if out.Code != 0 {
		return out, Failure(do, c.Name, out)
	}
	return out, nil
}

// Failure returns the error of a failed command.
func Failure(do, program string, out Output) error {
	words := LastWords(out.Stderr)
	if words == "" {
		words = LastWords(out.Stdout)
	}
	switch {
	case words != "":
	case out.Signal != 0:
		words = "killed by signal " + out.Signal.String()
	default:
		words = fmt.Sprintf("ended with status %d and printed nothing", out.Code)
	}
	if strings.HasPrefix(words, program+":") {
		return fmt.Errorf("cannot %s: %s", do, words)
	}
	return fmt.Errorf("cannot %s: %s: %s", do, program, words)
}

// maxWords is the most lines of a program's output in an error.
const maxWords = 4

// LastWords returns the lines that tell why a program failed: the lines marked as errors, else the last ones.
func LastWords(text string) string {
	var all, marked []string
	follows := false // dpkg gives the reason, indented, on the line after "dpkg: error …"
	for line := range strings.Lines(host.Clean(text)) {
		words := strings.TrimSpace(line)
		switch {
		case words == "" || strings.HasPrefix(words, "Try `"):
			continue
		case strings.HasPrefix(words, "E: Sub-process ") && len(marked) > 0:
			continue // the messages of the sub-process are already in marked
		case strings.HasPrefix(words, "E: ") || strings.HasPrefix(words, "dpkg: error"):
			marked = append(marked, words)
			follows = strings.HasSuffix(words, ":")
		case follows && strings.HasPrefix(line, " "):
			marked[len(marked)-1] += " " + words
			follows = false
		default:
			follows = false
		}
		all = append(all, words)
	}
	if len(marked) > 0 {
		return strings.Join(slices.Compact(marked[:min(len(marked), maxWords)]), "; ")
	}
	return strings.Join(all[max(0, len(all)-maxWords):], "; ")
}

// RetryLocked repeats do while another program holds a lock, for up to LockTimeout. The error wraps host.ErrForNow if the
// lock is still held then.
func (r *Runner) RetryLocked(ctx context.Context, do func() error) error {
	deadline := time.Now().Add(r.LockTimeout)
	for said := false; ; said = true {
		err := do()
		if err == nil || !isLocked(err) {
			return err
		}
		if time.Now().Add(r.Pause).After(deadline) {
			return host.ForNow(err)
		}
		if !said {
			r.Progress("waiting: " + err.Error())
		}
		if err := Sleep(ctx, r.Pause); err != nil {
			return err
		}
	}
}

// Locked marks an error as a lock conflict if its text does not show that.
func Locked(err error) error { return lockedError{err} }

// lockedError is an error that Locked marked as a lock conflict.
type lockedError struct{ error }

// isLocked says whether an error means that another program holds a lock of apt, dpkg or iptables.
func isLocked(err error) bool {
	if _, ok := errors.AsType[lockedError](err); ok {
		return true
	}
	return slices.ContainsFunc([]string{
		"Could not get lock", "Unable to lock", "Unable to acquire the dpkg frontend lock", // apt
		"lock was locked by another process", "is locked by another process", // dpkg
	}, func(words string) bool { return strings.Contains(err.Error(), words) })
}

// Sleep is like time.Sleep, but returns when ctx ends.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
