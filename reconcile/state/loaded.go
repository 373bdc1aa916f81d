package state

import (
	"context"

	"rlb.dev/rlb-agent/reconcile/host"
)

// Loaded says which configuration a unit's processes run.
type Loaded struct {
	Invocation string `json:"invocation"`       // the run of the unit that this is true of
	Config     string `json:"config,omitempty"` // path of the file
	Digest     string `json:"digest"`           // of the file when they last read it; "" where nobody knows
}

// ReadLoaded reads what the units have loaded, by unit. It is empty after a boot, and where the file is lost: then a
// reload makes it known again.
func ReadLoaded(ctx context.Context, o host.Observer) (map[string]Loaded, error) {
	loaded, err := ReadDerived[map[string]Loaded](ctx, o, LoadedFile)
	if loaded == nil {
		loaded = map[string]Loaded{}
	}
	return loaded, err
}

// WriteLoaded notes what the units have loaded.
func WriteLoaded(ctx context.Context, h host.Host, loaded map[string]Loaded) error {
	return WriteDerived(ctx, h, LoadedFile, loaded)
}

// Is says that this was noted of the present run of the unit.
func (l Loaded) Is(unit host.Unit) bool {
	return l.Invocation == unit.InvocationID && l.Invocation != ""
}

// ForgetLoaded comes before a reload, and WriteLoaded after the look that it worked. A run that dies between writing
// a file and the reload, or between the reload and that look, would else leave an old configuration in force for good.
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
