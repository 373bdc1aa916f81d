package state

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
)

// keptGenerations is how many specs are kept: enough to find the one before the trouble began, little for an SD card.
const keptGenerations = 10

// Generation is a spec that was brought into force, kept with the files that were rendered from it.
type Generation struct {
	Number int       `json:"number"`
	Time   time.Time `json:"time"`   // when it came into force
	Digest string    `json:"digest"` // of the spec's bytes
	By     string    `json:"by,omitempty"`
}

// dir is where the spec and the rendered files of a generation lie.
func (g Generation) dir() string { return path.Join(GenerationsDir, strconv.Itoa(g.Number)) }

func (g Generation) specPath() string { return path.Join(g.dir(), "spec.yaml") }

// KeepGeneration keeps the spec that has just come into force with the files that were rendered from it, and lets the
// oldest go. The list in memory comes last: a run that is killed before repeats all of it.
func (m *Memory) KeepGeneration(ctx context.Context, h host.Host, doc *api.Document, files []render.File, by string, now time.Time) error {
	m.Generation++
	m.Digest = doc.Digest
	g := Generation{Number: m.Generation, Time: now.UTC().Truncate(time.Second), Digest: doc.Digest, By: by}
	if err := h.RemoveTree(ctx, g.dir()); err != nil { // of one that was killed here, with other files
		return err
	}
	if err := h.WriteFile(ctx, g.specPath(), doc.Data, 0o600, 0, 0); err != nil {
		return err
	}
	for _, f := range files {
		if err := h.WriteFile(ctx, path.Join(g.dir(), "files", f.Path), f.Data, 0o600, 0, 0); err != nil {
			return err
		}
	}
	m.Generations = append(m.Generations, g)
	var gone []Generation
	if surplus := len(m.Generations) - keptGenerations; surplus > 0 {
		gone, m.Generations = m.Generations[:surplus], m.Generations[surplus:]
	}
	for _, g := range gone {
		if err := h.RemoveTree(ctx, g.dir()); err != nil {
			return err
		}
	}
	return m.Save(ctx, h)
}

// History are the kept generations, the oldest first; the last is in force.
func History(ctx context.Context, o host.Observer) ([]Generation, error) {
	memory, err := ReadMemory(ctx, o)
	return memory.Generations, err
}

// ErrNoGeneration is wrapped where there is no such generation to go back to.
var ErrNoGeneration = errors.New("no such generation")

// Kept is the spec of a kept generation: of that number, or, for 0, of the one before the one in force.
func Kept(ctx context.Context, o host.Observer, number int) (Generation, *api.Document, error) {
	history, err := History(ctx, o)
	if err != nil {
		return Generation{}, nil, err
	}
	if number == 0 {
		if len(history) < 2 {
			return Generation{}, nil, fmt.Errorf("cannot go back: %w: no spec is kept from before the one in force", ErrNoGeneration)
		}
		number = history[len(history)-2].Number
	}
	g, err := Find(history, number)
	if err != nil {
		return Generation{}, nil, err
	}
	doc, err := g.Spec(ctx, o)
	return g, doc, err
}

// Find is the generation of that number. The error wraps ErrNoGeneration.
func Find(history []Generation, number int) (Generation, error) {
	at := slices.IndexFunc(history, func(g Generation) bool { return g.Number == number })
	if at < 0 {
		return Generation{}, fmt.Errorf("cannot find generation %d (rlb-agent history lists them): %w", number, ErrNoGeneration)
	}
	return history[at], nil
}

// LastGood is the spec in force. The document is nil where there never was one.
func LastGood(ctx context.Context, o host.Observer) (*api.Document, error) {
	history, err := History(ctx, o)
	if err != nil || len(history) == 0 {
		return nil, err
	}
	return history[len(history)-1].Spec(ctx, o)
}

// Spec reads the spec that is kept. It refuses one that was changed since.
func (g Generation) Spec(ctx context.Context, o host.Observer) (*api.Document, error) {
	f, err := o.File(ctx, g.specPath())
	if err != nil {
		return nil, err
	}
	if !f.Exists {
		return nil, fmt.Errorf("cannot read generation %d: %s is gone", g.Number, g.specPath())
	}
	if host.Digest(f.Data) != g.Digest {
		return nil, fmt.Errorf("cannot read generation %d: %s was changed since it was in force", g.Number, g.specPath())
	}
	return api.Parse(g.specPath(), f.Data)
}
