package lab

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
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
// when ctx ends, and soon after the end of the host.
func (h *Host) Command(ctx context.Context, args ...string) *exec.Cmd {
	pid := h.Pid()
	if b := h.running(); b != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		context.AfterFunc(b.lasts, cancel)
	}
	cmd := command(ctx, EnterArgs(pid, args...)...)
	if pid == 0 {
		cmd.Err = fmt.Errorf("cannot enter %s: it is down", h.name)
	}
	return cmd
}

// Run runs a command inside the host and returns its standard output. A failure is a *RunError.
func (h *Host) Run(ctx context.Context, args ...string) (string, error) {
	return output(ctx, h.Command(ctx, args...), append([]string{h.name + ":"}, args...))
}

// Sh runs a shell script inside the host.
func (h *Host) Sh(ctx context.Context, script string) (string, error) {
	return h.Run(ctx, "sh", "-c", script)
}
