package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian/program"
	"rlb.dev/rlb-agent/reconcile/host/haproxy"
	"rlb.dev/rlb-agent/render"
)

// rehearsalLimit is longer than any caller waits for first checks.
const rehearsalLimit = 2 * time.Minute

// Rehearse runs a temporary HAProxy with the servers of a rendered file beside the real one. It passes their states to seen
// until seen returns true or the time is up, and ends it.
func (h *Host) Rehearse(ctx context.Context, file render.File, seen func([]host.ServerState) (enough bool)) error {
	const do = "rehearse the health checks"
	path, err := h.programs.Find("haproxy")
	if err != nil {
		return wrap(do, err)
	}
	dir, remove, err := h.checkDir()
	if err != nil {
		return err
	}
	defer remove()
	config, socket := filepath.Join(dir, "haproxy.cfg"), filepath.Join(dir, "s")
	if err := os.WriteFile(config, render.Rehearsal(file, socket), 0o600); err != nil {
		return wrap(do, cause(err))
	}

	// The process dies with the thread that started it, and so with the agent, however the agent ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var said bytes.Buffer
	ctx, cancel := context.WithTimeoutCause(ctx, rehearsalLimit, fmt.Errorf("it did not end within %v", rehearsalLimit))
	defer cancel()
	cmd := program.Prepare(ctx, path, "-db", "-f", config)
	cmd.Stderr = &said
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if err := cmd.Start(); err != nil {
		return wrap(do, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() { _ = program.KillGroup(cmd.Process.Pid) }()
	for {
		select {
		case <-ended:
			if ctx.Err() == nil {
				return fmt.Errorf("cannot %s: haproxy: %s", do, program.LastWords(said.String()))
			}
			return fmt.Errorf("cannot %s: %w", do, context.Cause(ctx))
		case <-ctx.Done():
			return fmt.Errorf("cannot %s: %w", do, context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
		states, err := haproxy.Servers(ctx, socket)
		if errors.Is(err, haproxy.ErrMalformed) {
			return wrap(do, err)
		}
		if err != nil {
			continue // HAProxy does not listen yet
		}
		if seen(states) {
			return nil
		}
	}
}
