package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// SSH calls rlb-agent through the system's ssh.
type SSH struct {
	Sudo bool // call "sudo -n rlb-agent": the remote user is not root
}

const (
	sshFailed   = 255             // exit code of ssh if ssh itself failed, see ssh(1)
	notFound    = 127             // exit code of a shell that cannot find the program
	waitDelay   = 2 * time.Second // for a process that holds our pipes after ssh has ended, as with ControlPersist
	answerLimit = 8 << 20         // bytes kept of each stream of an answer
	connectTime = 10              // seconds
	aliveTime   = 5               // seconds between ServerAlive messages; the third without an answer ends the connection
)

// wordPattern matches each word of a remote command: sshd passes the words to a shell as one string, and no shell
// expands these characters.
var wordPattern = regexp.MustCompile(`^[A-Za-z0-9@._:=,/-]+$`)

// sshArgs returns the arguments of ssh. They disable prompts and forwarding, and override options of the user's
// configuration that would replace the command.
func (s SSH) sshArgs(h Host, words []string) ([]string, error) {
	if !destination().MatchString(h.Destination) {
		return nil, fmt.Errorf("cannot use %q as a host", h.Destination)
	}
	command := []string{"rlb-agent"}
	if s.Sudo {
		command = []string{"sudo", "-n", "rlb-agent"}
	}
	for _, word := range words {
		if !wordPattern.MatchString(word) {
			return nil, fmt.Errorf("cannot send the word %q to another host", word)
		}
	}
	args := []string{"-T", "-a", "-x", "-o", "BatchMode=yes", "-o", fmt.Sprintf("ConnectTimeout=%d", connectTime),
		"-o", fmt.Sprintf("ServerAliveInterval=%d", aliveTime), "-o", "ServerAliveCountMax=3",
		"-o", "RemoteCommand=none", "-o", "ClearAllForwardings=yes", "--", h.Destination}
	return append(append(args, command...), words...), nil
}

// Call runs rlb-agent on the host and waits for its end. It returns an error if ssh failed, if the host has no
// rlb-agent, or if the time limit was reached.
func (s SSH) Call(ctx context.Context, h Host, c Call) (Answer, error) {
	args, err := s.sshArgs(h, c.Args)
	if err != nil {
		return Answer{}, err
	}
	program, err := exec.LookPath("ssh")
	if err != nil {
		return Answer{}, errNoSSH
	}
	limit := c.Limit
	if limit == 0 {
		limit = AskTime
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	// #nosec G204 -- no shell here; the remote command is made of fixed words, numbers and checked names
	cmd := exec.CommandContext(ctx, program, args...)
	// Ctrl-C must reach only this program, which then brings the hosts back through ssh.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = waitDelay
	stdout, stderr := &capped{}, &capped{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if len(c.Stdin) > 0 {
		cmd.Stdin = bytes.NewReader(c.Stdin)
	}
	err = cmd.Run()
	return answer(ctx, h, limit, cmd, Answer{Stdout: stdout.String(), Stderr: stderr.String()}, err)
}

// answer interprets how ssh ended.
func answer(ctx context.Context, h Host, limit time.Duration, cmd *exec.Cmd, a Answer, err error) (Answer, error) {
	exit := (*exec.ExitError)(nil)
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return a, fmt.Errorf("cannot reach %s: no answer within %v", h.Name, limit)
	case ctx.Err() != nil:
		return a, fmt.Errorf("cannot wait for %s: interrupted", h.Name)
	case err == nil, errors.As(err, &exit), cmd.ProcessState != nil && cmd.ProcessState.Success(): // the last for ErrWaitDelay
		a.Code = cmd.ProcessState.ExitCode()
	default:
		return a, fmt.Errorf("cannot run ssh: %w", err)
	}
	switch {
	case a.Code == sshFailed || a.Code < 0:
		return a, fmt.Errorf("cannot reach %s: %s", h.Name, Brief(a))
	case a.Code == notFound, a.Code == 1 && a.Stdout == "" && strings.HasPrefix(a.Stderr, "sudo: "):
		return a, fmt.Errorf("cannot run rlb-agent on %s: %s", h.Name, Brief(a))
	}
	return a, nil
}

// capped keeps the first answerLimit bytes that are written.
type capped struct{ kept []byte }

func (c *capped) Write(p []byte) (int, error) {
	c.kept = append(c.kept, p[:min(answerLimit-len(c.kept), len(p))]...)
	return len(p), nil
}

func (c *capped) String() string { return string(c.kept) }
