package state

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"rlb.dev/rlb-agent/reconcile/host"
)

// version is the format version of the durable files that this agent writes. The agent reads this version and all older
// ones. A file without a version has version 1.
const version = 1

// NewerError says that a newer agent wrote a durable file, in a format that this agent does not know. The copy of the file
// is then not used either: the part that this agent understands may be wrong.
type NewerError struct {
	Path    string
	Version int
}

// Error names the file and says which agent to install.
func (e *NewerError) Error() string {
	return fmt.Sprintf("cannot read %s: version %d is newer than this agent knows (%d): install the rlb-agent that wrote it, or a newer one", e.Path, e.Version, version)
}

// copyOf is the path of the copy of a durable file.
func copyOf(path string) string { return path + ".copy" }

// stored is the content of a durable file.
type stored[T any] struct {
	value  T
	data   []byte
	found  bool
	damage error // why the copy was read; nil if the file itself was read
	copied bool  // the copy equals the file
}

// readDurable reads a durable file, or its copy if the file is damaged or missing. decode refuses content that no agent
// wrote. If neither can be read, the error is the error of the file itself. If neither exists, found is false and there is
// no error.
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

// isFinal reports whether the copy must not be read after this error: the error says nothing about the file, or a newer
// agent wrote the file.
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

// writeDurable writes a durable file and then its copy. Until then the copy is the previous version, so one of the two is
// complete at every moment. The caller changes the host only after both are written, so that each of them lists the change.
func writeDurable(ctx context.Context, h host.Host, path string, value any) error {
	if err := writeJSON(ctx, h, path, value); err != nil {
		return err
	}
	return writeJSON(ctx, h, copyOf(path), value)
}

// removeDurable removes the copy of a durable file and then the file. In the other order the copy would be read after a
// crash.
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
