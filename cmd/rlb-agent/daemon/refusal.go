package daemon

import (
	"context"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/state"
)

// wasRefused says whether this spec was refused by this version of the agent, and was not brought into force since.
func (l *loop) wasRefused(doc *api.Document, inForce string) bool {
	return l.refused != nil && l.refused.Digest == doc.Digest && inForce != doc.Digest && l.refused.Agent == l.Version
}

func (l *loop) refuse(ctx context.Context, doc *api.Document, err error) {
	l.refused = &state.Refusal{Digest: doc.Digest, Agent: l.Version, Time: time.Now().Truncate(time.Second), Why: err.Error()}
	l.logOnce(onSpec, l.refused.Why)
	if err := l.refused.Write(ctx, l.host); err != nil {
		l.Log.Warn("a restarted agent will try this spec again", "err", err)
	}
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
