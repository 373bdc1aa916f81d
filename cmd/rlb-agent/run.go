package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"rlb.dev/rlb-agent/cmd/rlb-agent/daemon"
)

// daemon is the command without a subcommand: it keeps this host until SIGTERM.
func (a *app) daemon(ctx context.Context) error {
	if a.spec == "-" {
		return usageError{errors.New("cannot watch standard input: give a file with --spec")}
	}
	spec, err := filepath.Abs(a.spec)
	if err != nil {
		return fmt.Errorf("cannot watch the spec: %w", err)
	}
	a.spec = spec
	watchdog := daemon.NewWatchdog()
	h, err := a.hostWith(watchdog.Progress)
	if err != nil {
		return err
	}
	defer h.Close()
	if err := h.Ready(ctx); err != nil {
		return err
	}
	daemon.Run(ctx, daemon.Config{
		Host: h, Watchdog: watchdog, Spec: spec, ReadSpec: a.trustedSpec, LockTimeout: a.lockTimeout,
		Rejoin: rejoinArgs(), Log: a.log, Version: agentVersion(),
	})
	return nil
}
