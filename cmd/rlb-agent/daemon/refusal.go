package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/state"
)

// wasRefused reports whether this version of the agent refused this spec, and the spec is not in force.
func (l *loop) wasRefused(doc *api.Document, inForce string) bool {
	return l.refused != nil && l.refused.Digest == doc.Digest && inForce != doc.Digest && l.refused.Agent == l.Version
}

// due reports whether to try the refused spec again: the cause may have passed.
func (l *loop) due() bool { return l.refused.Passing && l.again.Left() == 0 }

// untilDue shortens pause to end when the refused spec is due.
func (l *loop) untilDue(pause time.Duration) time.Duration {
	if l.refused != nil && l.refused.Passing {
		return min(pause, max(l.again.Left(), time.Millisecond))
	}
	return pause
}

func (l *loop) refuse(ctx context.Context, doc *api.Document, err error, passing bool) {
	if l.refused == nil || l.refused.Digest != doc.Digest {
		l.again.Reset()
	}
	if passing {
		l.again.Next()
	}
	l.logRefusal(ctx, err, doc.Digest)
	refused := &state.Refusal{Digest: doc.Digest, Agent: l.Version, Time: time.Now().Truncate(time.Second), Why: err.Error(), Passing: passing}
	if l.refused != nil && l.refused.Digest == doc.Digest && l.refused.Why == refused.Why { // the same refusal again
		refused.Time = l.refused.Time
	}
	l.refused = refused
	if err := l.refused.Write(ctx, l.host); err != nil {
		l.Log.Warn("a restarted agent will try this spec again", "err", err)
	}
}

// refusedFor returns why a spec is refused, without the outcome of the run that tried it.
func refusedFor(err error) error {
	if failure := (*reconcile.Failure)(nil); errors.As(err, &failure) {
		return failure.Err
	}
	return err
}

// logRefusal logs once why the spec file is not in force, and what is. digest is "" if the file cannot be parsed.
func (l *loop) logRefusal(ctx context.Context, err error, digest string) (first bool) {
	why, _ := reconcile.Message(err)
	why = strings.ReplaceAll(why, "\n", "; ")
	in, generation := "no spec is in force", 0
	if history, err := state.History(ctx, l.host); err == nil && len(history) > 0 {
		generation = history[len(history)-1].Number
		in = fmt.Sprintf("generation %d stays in force", generation)
	}
	if generation == 0 && errors.Is(err, fs.ErrNotExist) {
		return l.logOnceAs(slog.LevelInfo, onNoSpec, "waiting for a first spec at "+l.Spec+": rlb-agent init writes one, rlb-agent import makes one of installed files")
	}
	return l.logOnce(onSpec, fmt.Sprintf("spec refused: %s; %s", why, in), "refused", digest, "why", why, "generation", generation)
}

func (l *loop) forgetRefusal(ctx context.Context) {
	if l.refused == nil {
		return
	}
	if err := l.refused.Forget(ctx, l.host); err != nil {
		l.Log.Warn(err.Error())
	}
	l.refused = nil
}

// loadMemory reads what the previous daemon wrote.
func (l *loop) loadMemory(ctx context.Context) {
	var err error
	if l.refused, err = state.ReadRefusal(ctx, l.host); err != nil {
		l.Log.Warn(err.Error())
	}
	if l.drift, err = state.ReadDrift(ctx, l.host); err != nil {
		l.Log.Warn(err.Error())
	}
}
