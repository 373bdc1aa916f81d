package state

import (
	"context"

	"rlb.dev/rlb-agent/reconcile/host"
)

// Loaded says which configuration a unit's processes run.
type Loaded struct {
	Invocation string `json:"invocation"`       // the invocation of the unit that this record describes
	Config     string `json:"config,omitempty"` // path of the file
	Digest     string `json:"digest"`           // of the file when the processes last read it; "" if not known
}

// ReadLoaded reads what the units have loaded, by unit. The map is empty after a boot and if the file is lost; a reload
// then fills it again.
func ReadLoaded(ctx context.Context, o host.Observer) (map[string]Loaded, error) {
	loaded, err := ReadDerived[map[string]Loaded](ctx, o, LoadedFile)
	if loaded == nil {
		loaded = map[string]Loaded{}
	}
	return loaded, err
}

// WriteLoaded records what the units have loaded.
func WriteLoaded(ctx context.Context, h host.Host, loaded map[string]Loaded) error {
	return WriteDerived(ctx, h, LoadedFile, loaded)
}

// Is reports whether the record describes the present invocation of the unit.
func (l Loaded) Is(unit host.Unit) bool {
	return l.Invocation == unit.InvocationID && l.Invocation != ""
}

// ForgetLoaded runs before a reload, and WriteLoaded runs after the check that the reload worked. Without it, a run that
// dies between writing a file and that check would leave the old configuration running for good.
func ForgetLoaded(ctx context.Context, h host.Host, name string) error {
	loaded, err := ReadLoaded(ctx, h)
	if err != nil {
		return err
	}
	unit, err := h.Unit(ctx, name)
	if err != nil {
		return err
	}
	record := loaded[name]
	if !record.Is(unit) {
		record.Config = ""
	}
	record.Invocation, record.Digest = unit.InvocationID, ""
	loaded[name] = record
	return WriteLoaded(ctx, h, loaded)
}
