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

// wasRefused says whether this spec was refused by this version of the agent, and was not brought into force since.
func (l *loop) wasRefused(doc *api.Document, inForce string) bool {
	return l.refused != nil && l.refused.Digest == doc.Digest && inForce != doc.Digest && l.refused.Agent == l.Version
}

// due says whether the refused spec is to be tried again now: what stood in its way may be gone.
func (l *loop) due() bool { return l.refused.Passing && l.again.Left() == 0 }

// untilDue is a pause that ends when the refused spec is to be tried again.
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
	if l.refused != nil && l.refused.Digest == doc.Digest && l.refused.Why == refused.Why { // the same once more
		refused.Time = l.refused.Time
	}
	l.refused = refused
	if err := l.refused.Write(ctx, l.host); err != nil {
		l.Log.Warn("a restarted agent will try this spec again", "err", err)
	}
}

// refusedFor is why a spec is refused, without how the run that tried it ended.
func refusedFor(err error) error {
	if failure := (*reconcile.Failure)(nil); errors.As(err, &failure) {
		return failure.Err
	}
	return err
}

// logRefusal logs why the spec file is not in force, and what is, once. The digest is "" where it cannot be parsed.
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

// loadMemory takes over what a former daemon left.
func (l *loop) loadMemory(ctx context.Context) {
	var err error
	if l.refused, err = state.ReadRefusal(ctx, l.host); err != nil {
		l.Log.Warn(err.Error())
	}
	if l.drift, err = state.ReadDrift(ctx, l.host); err != nil {
		l.Log.Warn(err.Error())
	}
}
