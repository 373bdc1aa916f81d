package plan

import (
	"context"
	"sync"

	"rlb.dev/rlb-agent/reconcile/host"
)

// unitsOnce asks a host once for each of its units, for all of them at the same time and while other things are looked at:
// systemd takes some milliseconds to tell the hundreds of properties of one. It asks for any other unit when Unit is called.
type unitsOnce struct {
	host.Observer
	answers map[string]func() (host.Unit, error)
	asked   sync.WaitGroup
}

// askUnits asks for units. The caller waits with asked until all answers have come.
func askUnits(ctx context.Context, o host.Observer, names ...string) *unitsOnce {
	units := &unitsOnce{Observer: o, answers: map[string]func() (host.Unit, error){}}
	for _, name := range names {
		answer := sync.OnceValues(func() (host.Unit, error) { return o.Unit(ctx, name) })
		units.answers[name] = answer
		units.asked.Go(func() { _, _ = answer() }) // Unit returns the error
	}
	return units
}

func (o *unitsOnce) Unit(ctx context.Context, name string) (host.Unit, error) {
	if answer, asked := o.answers[name]; asked {
		return answer()
	}
	return o.Observer.Unit(ctx, name)
}
