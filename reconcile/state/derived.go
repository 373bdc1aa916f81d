package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"rlb.dev/rlb-agent/reconcile/host"
)

// ReadDerived reads a JSON file under /run/rlb. If the file is missing or damaged, or the path is not a file, ReadDerived
// returns the zero value and no error, because the file will be made again. For the same reason the file has no version. An
// error means that this process may not read the file.
func ReadDerived[T any](ctx context.Context, o host.Observer, path string) (value T, err error) {
	var none T
	f, err := o.File(ctx, path)
	switch {
	case err != nil && mayNotLook(ctx, err):
		return none, err
	case err != nil || !f.Exists || json.Unmarshal(f.Data, &value) != nil:
		return none, nil
	}
	return value, nil
}

func mayNotLook(ctx context.Context, err error) bool {
	return errors.Is(err, host.ErrUnavailable) || ctx.Err() != nil
}

// WriteDerived writes a JSON file under /run/rlb. It removes a directory at the path.
func WriteDerived(ctx context.Context, h host.Host, path string, value any) error {
	if _, err := h.File(ctx, path); err != nil && !mayNotLook(ctx, err) {
		if err := h.RemoveTree(ctx, path); err != nil {
			return err
		}
	}
	return writeJSON(ctx, h, path, value)
}

// damage is why a derived file cannot be read; nil if it can be read or does not exist.
func (p Path) damage(ctx context.Context, o host.Observer) (host.File, error) {
	f, err := o.File(ctx, p.Path)
	if err == nil && f.Exists {
		err = json.Unmarshal(f.Data, p.form())
	}
	if err == nil || mayNotLook(ctx, err) {
		return f, nil
	}
	return f, fmt.Errorf("cannot read %s: %w", p.Path, err)
}

// ClearDamaged removes the derived files that cannot be read. So each is logged once and made again.
func ClearDamaged(ctx context.Context, h host.Host, log *slog.Logger) {
	for _, p := range Paths {
		if p.form == nil {
			continue
		}
		if _, damage := p.damage(ctx, h); damage != nil {
			log.Warn("removing "+p.Path+", which cannot be read: it is written again", "err", damage)
			if err := h.RemoveTree(ctx, p.Path); err != nil {
				log.Warn(err.Error())
			}
		}
	}
}

// DerivedFiles are the paths of the derived JSON files.
func DerivedFiles() (paths []string) {
	for _, p := range Paths {
		if p.form != nil {
			paths = append(paths, p.Path)
		}
	}
	return paths
}
