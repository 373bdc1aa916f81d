package plan

import (
	"context"

	"rlb.dev/rlb-agent/reconcile/host"
)

// unitsOnce asks a host once for each unit: several parts of a look want the same ones, and systemd takes some
// milliseconds to tell the hundreds of properties of one. It is for one goroutine.
type unitsOnce struct {
	host.Observer
	known map[string]host.Unit
}

func (o *unitsOnce) Unit(ctx context.Context, name string) (host.Unit, error) {
	if unit, known := o.known[name]; known {
		return unit, nil
	}
	unit, err := o.Observer.Unit(ctx, name)
	if err == nil {
		o.known[name] = unit
	}
	return unit, err
}
