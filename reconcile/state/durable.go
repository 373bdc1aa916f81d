package state

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"rlb.dev/rlb-agent/reconcile/host"
)

// version is the form of the durable files that this agent writes. It reads every form up to that; a file that names
// none has the first.
const version = 1

// NewerError says that another agent wrote a durable file, in a form that this one does not know. Its copy does not
// count then: what this agent understands of it may be the wrong half.
type NewerError struct {
	Path    string
	Version int
}

// Error names the file and the way on.
func (e *NewerError) Error() string {
	return fmt.Sprintf("cannot read %s: version %d is newer than this agent knows (%d): install the rlb-agent that wrote it, or a newer one", e.Path, e.Version, version)
}

// copyOf is where the copy of a durable file lies.
func copyOf(path string) string { return path + ".copy" }

// stored is what a durable file holds.
type stored[T any] struct {
	value  T
	data   []byte
	found  bool
	damage error // why it is from the copy; nil where it is from the file itself
	copied bool  // the copy is like the file
}

// readDurable reads a durable file, or where that is garbled or gone its copy. decode refuses what no agent wrote. Where
// neither can be read the error is the file's own; where neither is there nothing is found, which is no error.
func readDurable[T any](ctx context.Context, o host.Observer, path string, decode func([]byte) (T, error)) (stored[T], error) {
	s, err := readOne(ctx, o, path, decode)
	if isFinal(ctx, err) {
		return s, err
	}
	if err == nil && s.found {
		f, err := o.File(ctx, copyOf(path))
		s.copied = err == nil && bytes.Equal(f.Data, s.data)
		return s, nil
	}
	c, copyErr := readOne(ctx, o, copyOf(path), decode)
	switch {
	case err != nil && (copyErr != nil || !c.found):
		return s, err
	case copyErr != nil || !c.found:
		return s, copyErr
	case err == nil:
		err = fmt.Errorf("cannot read %s: it is gone", path)
	}
	c.damage = err
	return c, nil
}

// isFinal says that an error tells nothing about the file, or all there is to know.
func isFinal(ctx context.Context, err error) bool {
	return errors.Is(err, host.ErrUnavailable) || errors.As(err, new(*NewerError)) || ctx.Err() != nil
}

func readOne[T any](ctx context.Context, o host.Observer, path string, decode func([]byte) (T, error)) (stored[T], error) {
	f, err := o.File(ctx, path)
	if err != nil || !f.Exists {
		return stored[T]{}, err
	}
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(f.Data, &head); err != nil {
		return stored[T]{}, fmt.Errorf("cannot read %s: %w", path, err)
	}
	if head.Version > version {
		return stored[T]{}, &NewerError{path, head.Version}
	}
	value, err := decode(f.Data)
	if err != nil {
		return stored[T]{}, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return stored[T]{value: value, data: f.Data, found: true}, nil
}

// writeDurable writes a durable file and then its copy, which is the previous one until then: at every moment one of
// them is whole. What the file tells of is done after both, so that none of them lacks what was done.
func writeDurable(ctx context.Context, h host.Host, path string, value any) error {
	if err := writeJSON(ctx, h, path, value); err != nil {
		return err
	}
	return writeJSON(ctx, h, copyOf(path), value)
}

// removeDurable removes a durable file. It goes after its copy, which would count without it.
func removeDurable(ctx context.Context, h host.Host, path string) error {
	if err := h.RemoveFile(ctx, copyOf(path)); err != nil {
		return err
	}
	return h.RemoveFile(ctx, path)
}

func writeJSON(ctx context.Context, h host.Host, path string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return h.WriteFile(ctx, path, append(data, '\n'), 0o600, 0, 0)
}
