package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
)

// wasRefused reports whether this version of the agent refused this spec, and the spec is not in force.
func (l *loop) wasRefused(doc *api.Document, inForce string) bool {
	return l.refused != nil && l.refused.Digest == doc.Digest && inForce != doc.Digest && l.refused.Agent == l.Version
}

// The longest pauses before a refused spec is tried again. A look at the host costs little; a run that is undone reloads
// programs.
const (
	lookAgain = 30 * time.Second
	runAgain  = 5 * time.Minute
)

// triesAgain reports whether the refused spec is tried again by itself: the cause may pass.
func (l *loop) triesAgain() bool { return l.refused != nil && (l.refused.Passing || l.refused.ForNow) }

// untilDue shortens pause to end when the refused spec is tried again.
func (l *loop) untilDue(pause time.Duration) time.Duration {
	if l.triesAgain() {
		return min(pause, max(l.again.Left(), time.Millisecond))
	}
	return pause
}

// refuse records why a run with this spec failed, and when the spec is tried again.
func (l *loop) refuse(ctx context.Context, doc *api.Document, err error) {
	if l.refused == nil || l.refused.Digest != doc.Digest {
		l.again.Reset()
	}
	refused := &state.Refusal{Digest: doc.Digest, Agent: l.Version, Time: time.Now().Truncate(time.Second), Passing: reconcile.Passing(err), ForNow: host.IsForNow(err)}
	err = refusedFor(err)
	refused.Why = err.Error()
	l.logRefusal(ctx, err, doc.Digest)
	if l.refused != nil && l.refused.Digest == doc.Digest && l.refused.Why == refused.Why { // the same refusal again
		refused.Time = l.refused.Time
	}
	l.refused = refused
	if l.again.Most = lookAgain; refused.ForNow {
		l.again.Most = runAgain
	}
	if l.triesAgain() {
		l.again.Next()
	}
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
	why = host.Line(why)
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
