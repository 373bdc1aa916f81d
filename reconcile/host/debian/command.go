package debian

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
)

// command is one run of a program; no shell is involved.
type command struct {
	program string // looked up in searchPath
	args    []string
	stdin   string
	limit   time.Duration // how long it may run; 0 for usualLimit, noLimit for a program that must not be killed
}

// usualLimit is far longer than any program takes that only looks, checks or loads rules: keepalived 2.3.3 -t can run
// for ever. What changes packages has no limit: a dpkg that is killed leaves them half installed.
const (
	usualLimit = time.Minute
	noLimit    = time.Duration(-1)
)

func (c command) String() string { return strings.Join(append([]string{c.program}, c.args...), " ") }

// output is what a command left behind.
type output struct {
	stdout, stderr string
	code           int            // exit status; -1 where a signal ended it
	signal         syscall.Signal // what ended it, or 0
}

// system is the seam between this package and the machine's programs.
type system interface {
	// find is the absolute path of a program; the error is unavailable where there is none.
	find(program string) (string, error)
	// run runs a command to its end. Any end is no error: the error is that it could not run, or did not end in time.
	run(ctx context.Context, c command) (output, error)
}

// searchPath and environment are all that commands get to see of ours.
var searchPath = []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin"}

var environment = []string{
	"PATH=/usr/local/sbin:/usr/local/bin:" + strings.Join(searchPath, ":"), // dpkg wants ldconfig and the like
	"HOME=/root",
	"LC_ALL=C",
	"DEBIAN_FRONTEND=noninteractive",
	"APT_LISTCHANGES_FRONTEND=none",
	"NEEDRESTART_SUSPEND=1",
}

// machine is the real system.
type machine struct{ log *slog.Logger }

func (machine) find(program string) (string, error) {
	for _, dir := range searchPath {
		path := filepath.Join(dir, program)
		if fi, err := os.Stat(path); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", unavailable(program + " is not installed")
}

func (m machine) run(ctx context.Context, c command) (output, error) {
	path, err := m.find(c.program)
	if err != nil {
		return output{}, err
	}
	if err := ctx.Err(); err != nil {
		return output{}, err
	}
	ctx, cancel := c.limited(ctx)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := prepare(ctx, path, c.args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(c.stdin), &stdout, &stderr
	cmd.WaitDelay = time.Second // a process that has left the group may hold our pipes

	began := time.Now()
	err = cmd.Run()
	took := time.Since(began).Round(time.Microsecond)
	if cut := context.Cause(ctx); cut != nil {
		m.log.DebugContext(ctx, "killed", "command", c.String(), "took", took, "err", cut)
		return output{}, fmt.Errorf("%s: %w", c.program, cut)
	}
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended { // it may not even have begun
		return output{}, fmt.Errorf("%s: %w", c.program, err)
	}
	out := output{stdout: stdout.String(), stderr: stderr.String(), code: cmd.ProcessState.ExitCode()}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		out.signal = ws.Signal()
	}
	m.log.DebugContext(ctx, "ran", "command", c.String(), "code", out.code, "took", took)
	return out, nil
}

// limited is ctx with the command's time limit. The cause of its end names what did not end.
func (c command) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := c.limit
	switch limit {
	case noLimit:
		return context.WithCancel(ctx)
	case 0:
		limit = usualLimit
	}
	return context.WithTimeoutCause(ctx, limit, fmt.Errorf("%q did not end within %v and was killed: %w", c, limit, context.DeadlineExceeded))
}

// prepare makes a program ready to run with nothing of ours but its arguments. It is the first of a process group of its
// own, which is killed as a whole: what it started must not outlive it, and no signal of our terminal reaches it.
func prepare(ctx context.Context, path string, args ...string) *exec.Cmd {
	// #nosec G204 -- no shell, and the callers name the program; what comes from the spec is checked by its rules
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.Env = "/", environment
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return killGroup(cmd.Process.Pid) }
	return cmd
}

func killGroup(pid int) error { return syscall.Kill(-pid, syscall.SIGKILL) }

// do runs a command that is to succeed. The error is "cannot DO: program: its last words".
func (h *Host) do(ctx context.Context, do string, c command) (output, error) {
	out, err := h.system.run(ctx, c)
	if err != nil {
		return output{}, wrap(do, err)
	}
	if out.code != 0 {
		return out, failure(do, c.program, out)
	}
	return out, nil
}

// failure is the error of a command that ended badly.
func failure(do, program string, out output) error {
	words := lastWords(out.stderr)
	if words == "" {
		words = lastWords(out.stdout)
	}
	switch {
	case words != "":
	case out.signal != 0:
		words = "killed by signal " + out.signal.String()
	default:
		words = fmt.Sprintf("ended with status %d and said nothing", out.code)
	}
	if strings.HasPrefix(words, program+":") {
		return fmt.Errorf("cannot %s: %s", do, words)
	}
	return fmt.Errorf("cannot %s: %s: %s", do, program, words)
}

// maxWords is how many of a program's lines make it into an error.
const maxWords = 4

// lastWords are the lines that tell why a program failed: those that are marked as errors, else the last ones.
func lastWords(text string) string {
	var all, marked []string
	follows := false // dpkg says why on the line after "dpkg: error …", indented
	for line := range strings.Lines(text) {
		words := strings.TrimSpace(line)
		switch {
		case words == "" || strings.HasPrefix(words, "Try `"):
			continue
		case strings.HasPrefix(words, "E: Sub-process ") && len(marked) > 0:
			continue // what the sub-process said is there already
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

// retryLocked does something again while another program holds a lock, for as long as LockTimeout.
func (h *Host) retryLocked(ctx context.Context, do func() error) error {
	deadline := time.Now().Add(h.lockTimeout)
	for said := false; ; said = true {
		err := do()
		if err == nil || !isLocked(err) || time.Now().Add(h.pause).After(deadline) {
			return err
		}
		if !said {
			h.progress("waiting: " + err.Error())
		}
		if err := sleep(ctx, h.pause); err != nil {
			return err
		}
	}
}

// lockedError is an error that is known to be a lock's by more than its words.
type lockedError struct{ error }

// isLocked says whether an error is that another program holds a lock: apt's, dpkg's or iptables'.
func isLocked(err error) bool {
	if _, ok := errors.AsType[lockedError](err); ok {
		return true
	}
	return slices.ContainsFunc([]string{
		"Could not get lock", "Unable to lock", "Unable to acquire the dpkg frontend lock", // apt
		"lock was locked by another process", "is locked by another process", // dpkg
	}, func(words string) bool { return strings.Contains(err.Error(), words) })
}

// sleep is time.Sleep that ends with ctx.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
