package daemon

import (
	"context"
	"log/slog"
	"time"

	"rlb.dev/rlb-agent/cmd/rlb-agent/filewatch"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/wake"
)

// runFilesQuiet is how long to wait for more changes of the files under /run/rlb: a run changes several.
const runFilesQuiet = 50 * time.Millisecond

// keepRunFiles restores the files under /run/rlb that somebody removes or corrupts, until ctx ends.
func keepRunFiles(ctx context.Context, h host.Host, report *reporter, log *slog.Logger) {
	changed := make(chan struct{}, 1)
	watch := filewatch.New(log, func(string) { wake.Up(changed) })
	watch.Set(state.DerivedFiles()...)
	go watch.Run(ctx)
	mirror := state.Mirror{Host: h, Log: log}
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
		time.Sleep(runFilesQuiet)
		if !mirror.Look(ctx) {
			continue
		}
		if err := report.restore(ctx); err != nil && ctx.Err() == nil {
			log.Warn("cannot restore the status", "err", err)
		}
	}
}
