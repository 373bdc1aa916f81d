package main

import (
	"context"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/state"
)

// wasRefused says whether this spec was refused by this version of the agent, and was not brought into force since.
func (k *keeper) wasRefused(doc *api.Document, inForce string) bool {
	return k.refused != nil && k.refused.Digest == doc.Digest && inForce != doc.Digest && k.refused.Agent == agentVersion()
}

func (k *keeper) refuse(ctx context.Context, doc *api.Document, err error) {
	k.refused = &state.Refusal{Digest: doc.Digest, Agent: agentVersion(), Time: time.Now().Truncate(time.Second), Why: err.Error()}
	k.complain(onSpec, k.refused.Why)
	if err := k.refused.Write(ctx, k.host); err != nil {
		k.log.Warn("a restarted agent will try this spec again", "err", err)
	}
}

func (k *keeper) forgetRefusal(ctx context.Context) {
	if k.refused == nil {
		return
	}
	if err := k.refused.Forget(ctx, k.host); err != nil {
		k.log.Warn(err.Error())
	}
	k.refused = nil
}

// remember takes up what a former daemon knew.
func (k *keeper) remember(ctx context.Context) {
	var err error
	if k.refused, err = state.ReadRefusal(ctx, k.host); err != nil {
		k.log.Warn(err.Error())
	}
	if k.drift, err = state.ReadDrift(ctx, k.host); err != nil {
		k.log.Warn(err.Error())
	}
}
