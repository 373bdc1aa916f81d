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

// keptGenerations is the number of specs that are kept: enough to find the spec from before a problem began, and little
// space on an SD card.
const keptGenerations = 10

// Generation is a spec that was brought into force. It is kept with the files that were rendered from it.
type Generation struct {
	Number int       `json:"number"`
	Time   time.Time `json:"time"`   // when it came into force
	Digest string    `json:"digest"` // of the spec's bytes
	By     string    `json:"by,omitempty"`
}

// dir is the directory of the spec and the rendered files of a generation.
func (g Generation) dir() string { return path.Join(GenerationsDir, strconv.Itoa(g.Number)) }

func (g Generation) specPath() string { return path.Join(g.dir(), "spec.yaml") }

// KeepGeneration keeps the spec that has just come into force, with the files that were rendered from it, and removes the
// oldest generations. The list in memory is written last: the run after one that was killed before that repeats everything.
func (m *Memory) KeepGeneration(ctx context.Context, h host.Host, doc *api.Document, files []render.File, by string, now time.Time) error {
	m.Generation++
	m.Digest = doc.Digest
	g := Generation{Number: m.Generation, Time: now.UTC().Truncate(time.Second), Digest: doc.Digest, By: by}
	if err := h.RemoveTree(ctx, g.dir()); err != nil { // left by a run that was killed here; it may have other files
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

// History returns the kept generations, the oldest first; the last one is in force.
func History(ctx context.Context, o host.Observer) ([]Generation, error) {
	memory, err := ReadMemory(ctx, o)
	return memory.Generations, err
}

// ErrNoGeneration is wrapped by errors about a generation that is not kept.
var ErrNoGeneration = errors.New("no such generation")

// Kept returns a kept generation and its spec: the generation with this number, or, for 0, the generation before the one in
// force.
func Kept(ctx context.Context, o host.Observer, number int) (Generation, *api.Document, error) {
	history, err := History(ctx, o)
	if err != nil {
		return Generation{}, nil, err
	}
	if number == 0 {
		if len(history) < 2 {
			return Generation{}, nil, fmt.Errorf("cannot go back: %w: no earlier spec is kept", ErrNoGeneration)
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

// Find returns the generation with this number. The error wraps ErrNoGeneration.
func Find(history []Generation, number int) (Generation, error) {
	at := slices.IndexFunc(history, func(g Generation) bool { return g.Number == number })
	if at < 0 {
		return Generation{}, fmt.Errorf("cannot find generation %d (rlb-agent history lists them): %w", number, ErrNoGeneration)
	}
	return history[at], nil
}

// LastGood reads the spec in force. The document is nil if there never was one.
func LastGood(ctx context.Context, o host.Observer) (*api.Document, error) {
	history, err := History(ctx, o)
	if err != nil || len(history) == 0 {
		return nil, err
	}
	return history[len(history)-1].Spec(ctx, o)
}

// Restore writes the kept spec again if it is lost or damaged. data is that spec.
func (g *Generation) Restore(ctx context.Context, h host.Host, data []byte) error {
	name := g.specPath()
	if f, err := h.File(ctx, name); err == nil && host.Digest(f.Data) == g.Digest {
		return nil
	}
	return h.WriteFile(ctx, name, data, 0o600, 0, 0)
}

// Spec reads the kept spec. It refuses a spec that was changed since it was in force.
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
