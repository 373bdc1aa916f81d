package main

import (
	"context"
	"encoding/json"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
)

// refusedFile outlives the daemon, not the boot: what was refused may be good after it.
const refusedFile = host.RunDir + "/refused.json"

// refusal is a spec that was refused or rolled back. It is not tried again until it changes or somebody asks for it.
type refusal struct {
	Digest string    `json:"digest"` // of the spec
	Agent  string    `json:"agent"`  // another version may render it otherwise
	Time   time.Time `json:"time"`
	Why    string    `json:"why"`
}

func (r *refusal) Error() string { return r.Why }

// is says whether this is the spec, and was not brought into force since.
func (r *refusal) is(doc *api.Document, inForce string) bool {
	return r != nil && r.Digest == doc.Digest && inForce != doc.Digest && r.Agent == agentVersion()
}

func (k *keeper) refuse(ctx context.Context, doc *api.Document, err error) {
	k.refused = &refusal{doc.Digest, agentVersion(), time.Now().Truncate(time.Second), err.Error()}
	k.complain(onSpec, k.refused.Why)
	data, err := json.MarshalIndent(k.refused, "", "  ")
	if err == nil {
		err = k.host.WriteFile(ctx, refusedFile, append(data, '\n'), 0o600, 0, 0)
	}
	if err != nil {
		k.log.Warn("a restarted agent will try this spec again", "err", err)
	}
}

func (k *keeper) forgetRefusal(ctx context.Context) {
	if k.refused == nil {
		return
	}
	k.refused = nil
	if err := k.host.RemoveFile(ctx, refusedFile); err != nil {
		k.log.Warn(err.Error())
	}
}

// remember takes up what a former daemon knew.
func (k *keeper) remember(ctx context.Context) {
	if f, err := k.host.File(ctx, refusedFile); err == nil && f.Exists {
		var r refusal
		if json.Unmarshal(f.Data, &r) == nil {
			k.refused = &r
		}
	}
	if drift, err := state.ReadDrift(ctx, k.host); err == nil {
		k.drift = drift
	}
}
