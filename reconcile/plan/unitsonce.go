package plan

import (
	"context"
	"sync"

	"rlb.dev/rlb-agent/reconcile/host"
)

// unitsOnce asks a host once for each unit: several parts of a look want the same ones, and systemd takes some
// milliseconds to tell the hundreds of properties of one.
type unitsOnce struct {
	host.Observer
	mu    sync.Mutex
	known map[string]host.Unit
}

func (o *unitsOnce) Unit(ctx context.Context, name string) (host.Unit, error) {
	o.mu.Lock()
	unit, known := o.known[name]
	o.mu.Unlock()
	if known {
		return unit, nil
	}
	unit, err := o.Observer.Unit(ctx, name)
	if err == nil {
		o.mu.Lock()
		o.known[name] = unit
		o.mu.Unlock()
	}
	return unit, err
}
