package lab

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// hostPath is the PATH of root on Debian.
const hostPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// EnterArgs returns the command that runs args in the host whose process 1 is pid, with the environment of
// root on Debian.
func EnterArgs(pid int, args ...string) []string {
	enter := []string{"nsenter", "--target", strconv.Itoa(pid), "--all", "--", "/usr/bin/env", "-i", "PATH=" + hostPath,
		"HOME=/root", "LANG=C.UTF-8", "TERM=linux", "DEBIAN_FRONTEND=noninteractive"}
	return append(enter, args...)
}

// Command prepares a command inside the host, for callers that read its output as it arrives. It is killed
// when ctx ends.
func (h *Host) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := command(ctx, EnterArgs(h.Pid(), args...)...)
	if b := h.running(); b != nil {
		context.AfterFunc(b.lasts, func() { release(cmd) })
	} else {
		cmd.Err = fmt.Errorf("cannot enter %s: it is down", h.name)
	}
	return cmd
}

// release continues nsenter until it has ended. When systemd stops all processes at a shutdown, nsenter stops itself. Nothing
// else continues it, and the host cannot end while nsenter holds a process that has ended.
func release(cmd *exec.Cmd) {
	for range 100 {
		if cmd.ProcessState != nil {
			return
		}
		if cmd.Process != nil {
			_ = syscall.Kill(cmd.Process.Pid, syscall.SIGCONT) // it may have ended
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// Run runs a command inside the host and returns its standard output. A failure is a *RunError.
func (h *Host) Run(ctx context.Context, args ...string) (string, error) {
	return output(ctx, h.Command(ctx, args...), append([]string{h.name + ":"}, args...))
}

// Sh runs a shell script inside the host.
func (h *Host) Sh(ctx context.Context, script string) (string, error) {
	return h.Run(ctx, "sh", "-c", script)
}
