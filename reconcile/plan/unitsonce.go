package plan

import (
	"context"
	"sync"

	"rlb.dev/rlb-agent/reconcile/host"
)

// unitsOnce asks a host once for each unit, and for all at once, while other things are looked at: systemd takes some
// milliseconds to tell the hundreds of properties of one. Of another unit it asks when it is asked.
type unitsOnce struct {
	host.Observer
	answers map[string]func() (host.Unit, error)
	asked   sync.WaitGroup
}

// askUnits asks for units. Who asks waits for all answers in the end.
func askUnits(ctx context.Context, o host.Observer, names ...string) *unitsOnce {
	units := &unitsOnce{Observer: o, answers: map[string]func() (host.Unit, error){}}
	for _, name := range names {
		answer := sync.OnceValues(func() (host.Unit, error) { return o.Unit(ctx, name) })
		units.answers[name] = answer
		units.asked.Go(func() { _, _ = answer() }) // who wants the unit gets the error
	}
	return units
}

func (o *unitsOnce) Unit(ctx context.Context, name string) (host.Unit, error) {
	if answer, asked := o.answers[name]; asked {
		return answer()
	}
	return o.Observer.Unit(ctx, name)
}
